"""The loop of zero-shot classification: its classes over ranks, its predictions, and what it refuses."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from mmengine.evaluator import Evaluator
from torch import nn
from torch.utils.data import DataLoader

from bus_toolkit.errors import ConfigError, DataError
from bus_toolkit.evaluation.zero_shot import loop as module
from bus_toolkit.evaluation.zero_shot.class_texts import class_feats
from bus_toolkit.evaluation.zero_shot.loop import ZeroShotLoop, shared_class_feats
from bus_toolkit.heads import ITMHead
from tests.tiny import WIDTH, images
from tests.tiny_model import sample, tiny_model

NAMES, TEMPLATES = ["ab", "cde", "f", "gh", "i"], ("x{}", "{}yz")


class Named(list):
    """A data set of two images that states the names of its classes."""

    metainfo = {"classes": NAMES}


def built(model: nn.Module, dataset: list, **settings) -> ZeroShotLoop:
    runner = SimpleNamespace(model=model, distributed=False, visualizer=SimpleNamespace())
    return ZeroShotLoop(runner, DataLoader(dataset), Evaluator([]), **settings)


@pytest.mark.parametrize("ranks", [1, 2, 7])
def test_ranks_share_the_classes_and_have_all_of_them(ranks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model().eval()
    parts = [class_feats(model, NAMES[r::ranks], TEMPLATES) if NAMES[r::ranks] else None for r in range(ranks)]
    monkeypatch.setattr(module, "get_world_size", lambda: ranks)
    monkeypatch.setattr(module, "get_rank", lambda: ranks - 1)
    monkeypatch.setattr(module, "all_gather_object", lambda own: parts)
    whole = shared_class_feats(model, NAMES, TEMPLATES)
    torch.testing.assert_close(whole, class_feats(model, NAMES, TEMPLATES), rtol=1e-5, atol=1e-6)


def test_the_nearest_classes_are_predicted_from_text_free_images(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model().eval()
    pixels, samples = images(3), [sample("ab", number) for number in range(3)]
    model._modules.pop("data_preprocessor")
    object.__setattr__(model, "data_preprocessor", lambda batch, training: batch)
    loop = built(model, Named([0, 1]), templates=TEMPLATES, keep=3)
    loop.prepare()
    monkeypatch.setattr(ITMHead, "predict", lambda *args: pytest.fail("another head ran"))
    with torch.no_grad():
        predicted = loop.predict({"images": pixels, "data_samples": samples})
        for row in range(3):
            feats = model.heads["itc"].image_feats(model.encode(pixels[row : row + 1]))[0]
            cosines = [float(feats @ one) for one in class_feats(model, NAMES, TEMPLATES)]
            order = sorted(range(5), key=lambda place: -cosines[place])[:3]
            assert predicted[row].pred_classes.tolist() == order and predicted[row].pred_label.tolist() == order[:1]


def test_what_cannot_be_compared_is_refused() -> None:
    model = tiny_model()
    with pytest.raises(ConfigError, match=r"ZeroShotLoop: classes are compared by an ITCHead, got \['itm'\]"):
        built(tiny_model(heads={"itm": ITMHead(text_dim=WIDTH)}), Named([0, 1]))
    with pytest.raises(DataError, match="the data set must state the names of its classes"):
        built(model, [0, 1])
    with pytest.raises(ConfigError, match="ZeroShotLoop.keep: must be 1 or more, got 0"):
        built(model, Named([0, 1]), keep=0)
    with pytest.raises(ConfigError, match=r"ZeroShotLoop.templates\[0\]: must hold \{\} once"):
        built(model, Named([0, 1]), templates="a photo")
