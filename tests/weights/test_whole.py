"""Whole models: nothing stays random, and nothing is left out, unless the setting names it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from mmpretrain.models.utils import resize_pos_embed
from torch import Tensor, nn

from bus_toolkit.errors import CheckpointError
from bus_toolkit.models.momentum import copied_parts
from bus_toolkit.testing import tiny
from bus_toolkit.testing.model import TINY_HEADS, tiny_model
from bus_toolkit.weights.load_rule import LoadRule
from bus_toolkit.weights.reading import source_of
from bus_toolkit.weights.report import LoadReport
from bus_toolkit.weights.whole import load_whole
from tests.weights.sources import randomised, state_of, unchanged

ITC = {"itc": TINY_HEADS["itc"]}
ITC_ITM = {"itc": TINY_HEADS["itc"], "itm": TINY_HEADS["itm"]}
QUEUES = ["image_queue", "text_queue", "queue_ids", "queue_next"]


def model(heads: Mapping[str, Any] = ITC, seed: int = 0, **parts: Any) -> Any:
    built = randomised(tiny_model(heads, **parts), seed)
    if built.momentum is not None:
        built.momentum.restart(built)
    return built


def load(target: nn.Module, state: Mapping[str, Tensor], purpose: Any = "start", **rule: Any) -> LoadReport:
    source = source_of({"state_dict": state}, "a.pth")
    return load_whole(target, source, LoadRule(purpose, copies=copied_parts(target), **rule), "load_from")


def refused(target: nn.Module, state: Mapping[str, Tensor], said: str, purpose: Any = "start", **rule: Any) -> None:
    before = state_of(target)
    with pytest.raises(CheckpointError, match=said):
        load(target, state, purpose, **rule)
    assert unchanged(target, before)


def test_weights_of_the_same_model_are_all_loaded() -> None:
    target, source = model(), model(seed=1)
    report = load(target, source.state_dict())
    assert unchanged(target, state_of(source)) and (report.missing, report.unexpected) == ([], [])


def test_a_new_head_is_named_with_what_to_write() -> None:
    target, state = model(ITC_ITM), model(seed=1).state_dict()
    message = (
        r"^load_from: a\.pth: does not fit this model: it has no heads\.itm \(2 tensors\)\. Allowed is .* write "
        r"{checkpoint: a\.pth, new_parts: \[heads\.itm\]}; if not, use the config\.yaml"
    )
    refused(target, state, message)
    before = target.heads["itm"].classifier.weight.clone()
    report = load(target, state, new_parts=["heads.itm"])
    assert torch.equal(target.heads["itm"].classifier.weight, before)
    assert report.missing == ["heads.itm.classifier.weight", "heads.itm.classifier.bias"]


def test_a_head_that_the_model_does_not_have_is_left_out_of_a_start_alone() -> None:
    target, state = model(), model(ITC_ITM, seed=1).state_dict()
    refused(target, state, r"it has heads\.itm \(2 tensors\), which the model does not have\. Trained", "evaluate")
    assert load(target, state).unexpected == ["heads.itm.classifier.weight", "heads.itm.classifier.bias"]


def test_tensors_of_a_part_that_the_model_has_are_not_left_out() -> None:
    target = model(fusion={"type": "CrossAttentionFusion", "num_layers": 1, "num_heads": 4})
    state = model(fusion={"type": "CrossAttentionFusion", "num_layers": 2, "num_heads": 4}, seed=1).state_dict()
    refused(target, state, r"it has fusion\.layers\.1 \(\d+ tensors\), which .* unused_parts: \[fusion\.layers\.1\]}")
    report = load(target, state, unused_parts=["fusion.layers.1"])
    assert all(name.startswith("fusion.layers.1.") for name in report.unexpected)


def test_a_whole_model_of_other_sizes_is_refused_in_a_few_words() -> None:
    narrow = {"type": "BertTextEncoder", "hidden_size": 16, "num_heads": 2, "num_layers": 1, "max_text_length": 16}
    target, state = model(), model(text_encoder=narrow, seed=1).state_dict()
    message = (
        r"text_encoder\.bert\.embeddings\.word_embeddings\.weight has the shape \(\d+, 16\), .*; \d+ more have another"
    )
    refused(target, state, message)
    with pytest.raises(
        CheckpointError, match="Give the model the sizes and the tokenizer that the config.yaml"
    ) as caught:
        load(target, state)
    assert len(str(caught.value)) < 700


def test_a_name_that_the_model_does_not_have_is_no_new_part() -> None:
    refused(
        model(),
        model(seed=1).state_dict(),
        r"new_parts names 'heads\.itcc'.*Did you mean 'heads\.itc'",
        new_parts=["heads.itcc"],
    )


def test_weights_of_nothing_here_say_how_their_names_begin() -> None:
    refused(
        model(), {"encoder.w": torch.ones(1)}, "none of its 1 tensors fits this model; their names begin with encoder"
    )


def test_momentum_copies_start_from_their_originals_but_a_run_goes_on_with_its_own() -> None:
    target, source = model(momentum={"decay": 0.9}), model(seed=1)
    refused(
        target, source.state_dict(), r"it has no momentum \(\d+ tensors\)\. A resumed run goes on as it was", "resume"
    )
    load(target, source.state_dict())
    copies = target.momentum.copies["backbone"].state_dict()
    assert all(torch.equal(copies[name], value) for name, value in source.backbone.state_dict().items())


def test_the_copy_of_a_new_part_is_new_as_well() -> None:
    target = model(momentum={"decay": 0.9}, selectors=[{"type": "TSPS", "blocks": [2], "keep_ratio": 0.5}])
    state = model(momentum={"decay": 0.9}, selectors=[], seed=1).state_dict()
    message = r"it has no backbone\.selectors \(\d+ tensors\)\. .*new_parts: \[backbone\.selectors\]}"
    refused(target, state, message)
    load(target, state, new_parts=["backbone.selectors"])
    copied = target.momentum.copies["backbone"].state_dict()
    assert all(torch.equal(copied[name], value) for name, value in target.backbone.state_dict().items())


def test_copies_by_which_this_model_distils_nothing_need_no_place_but_a_run_goes_on_with_its_own() -> None:
    distilling = {**ITC, "mlm": {**TINY_HEADS["mlm"], "alpha": 0.4}}
    source = model(distilling, seed=1, momentum={})
    target, state = model(momentum={}), source.state_dict()
    assert any(name.startswith("momentum.copies.heads.mlm.") for name in state)
    report = load(target, state)
    assert "momentum.copies.heads.mlm.vocabulary.weight" in report.unexpected
    kept = {name: value for name, value in state.items() if name in target.state_dict()}
    assert unchanged(target, kept)
    same = model({**ITC, "mlm": TINY_HEADS["mlm"]}, momentum={})
    load(same, state, "evaluate")
    refused(same, state, r"it has .*momentum\.copies\.(fusion|heads)", "resume")
    state["momentum.copies.backbone.vit.another"] = torch.ones(1)
    refused(target, state, r"momentum\.copies\.backbone\.vit\.another")


def test_an_answering_model_that_distils_starts_from_a_pre_training_with_a_new_decoder() -> None:
    heads = {"vqa": {**TINY_HEADS["vqa"], "alpha": 0.4}}
    state = model({**ITC, "mlm": {**TINY_HEADS["mlm"], "alpha": 0.4}}, seed=1, momentum={}).state_dict()
    target = model(heads, momentum={})
    load(target, state, new_parts=["text_decoder"])
    copies = target.momentum.copies
    assert torch.equal(
        next(copies["fusion"].parameters()), state["momentum.copies.fusion." + first_name(target.fusion)]
    )
    assert unchanged(copies["text_decoder"], target.text_decoder.state_dict())


def first_name(part: nn.Module) -> str:
    return next(name for name, _ in part.named_parameters())


def test_a_queue_of_another_length_is_refused_or_starts_empty() -> None:
    def with_queue(size: int, seed: int) -> Any:
        return model({"itc": {**TINY_HEADS["itc"], "queue_size": size}}, momentum={"decay": 0.9}, seed=seed)

    target, state = with_queue(4, 0), with_queue(6, 1).state_dict()
    refused(target, state, r"heads\.itc\.image_queue has the shape \(6, 16\), the model \(4, 16\)")
    load(target, state, new_parts=[f"heads.itc.{name}" for name in QUEUES])
    assert (target.heads["itc"].queue_ids == with_queue(4, 0).heads["itc"].queue_ids).all()


def test_positions_come_from_the_grid_of_the_file_and_a_resumed_run_keeps_its_own() -> None:
    oblong, square = ({**tiny.VISION_TRANSFORMER, "img_size": size} for size in ((32, 128), 64))
    target, source = model(backbone=square), model(backbone=oblong, seed=1)
    state = source.state_dict()
    refused(target, state, r"backbone\.vit\.pos_embed has the shape .* positions of another image size", "resume")
    expected = resize_pos_embed(source.backbone.vit.pos_embed, (4, 16), (8, 8), "bicubic", 1)
    for purpose in ("start", "evaluate"):
        report = load(model(backbone=square), state, purpose)
        assert report.resized == ["backbone.vit.pos_embed (1, 65, 32) to as many of another grid"]
    load(target, state)
    assert torch.equal(target.backbone.vit.pos_embed, expected)


def test_a_file_that_does_not_say_its_grid_starts_nothing_of_an_oblong_image_but_is_evaluated() -> None:
    oblong = {**tiny.VISION_TRANSFORMER, "img_size": (32, 128)}
    target, source = model(backbone=oblong), model(backbone=oblong, seed=1)
    refused(
        target,
        dict(source.state_dict()),
        r"backbone\.vit\.pos_embed has as many positions as 4 x 16 patches",
    )
    load(target, dict(source.state_dict()), "evaluate")
    assert unchanged(target, state_of(source))


@pytest.mark.parametrize("kind", ["BEiTViT", "ViTEVA02"])
def test_relative_and_rotary_positions_start_at_another_size(kind: str) -> None:
    def at(size: int, seed: int) -> Any:
        arch = {"embed_dims": 32, "num_layers": 2, "num_heads": 4, "feedforward_channels": 64}
        node = {"type": f"mmpretrain.{kind}", "arch": arch, "img_size": size, "patch_size": 8}
        return model(backbone=node, seed=seed)

    target, source = at(64, 0), at(32, 1)
    report = load(target, source.state_dict())
    assert report.missing == [] and len(report.resized) > 1
    name = f"layers.1.{'ln2' if kind == 'BEiTViT' else 'norm2'}.weight"
    assert torch.equal(target.backbone.vit.state_dict()[name], source.backbone.vit.state_dict()[name])


class Renamed(nn.Module):
    """A part of a plugin that still reads the name of an earlier version."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))
        self.bias = nn.Parameter(torch.zeros(2))
        self.register_load_state_dict_pre_hook(self._read_old)

    @staticmethod
    def _read_old(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: object) -> None:
        if f"{prefix}kernel" in state:
            state[f"{prefix}weight"] = state.pop(f"{prefix}kernel")


@pytest.mark.parametrize("purpose", ["start", "evaluate"])
def test_a_part_that_reads_old_names_is_asked(purpose: str) -> None:
    target = nn.ModuleDict({"part": Renamed()})
    load(target, {"part.kernel": torch.ones(2), "part.bias": torch.ones(2)}, purpose)
    assert target["part"].weight.tolist() == [1.0, 1.0]
    refused(
        target,
        {"part.kernl": torch.ones(2), "part.bias": torch.ones(2)},
        r"it has no part\.weight; it has part\.kernl",
        purpose,
    )
