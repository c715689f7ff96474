"""Classes by their names: the nearest sentence wins, and an index serves many lists of names."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from bus_toolkit.errors import ConfigError, DataError
from tests.inference.toy import TEXTS, without_head

NAMES = ["red circle", "large blue square", "green star", "white triangle"]


def test_classes_are_ranked_by_cosine_with_their_sentences(inferencer, pictures):
    templates = ["a small {}", "a large {} above a star"]
    model, index = inferencer.model, inferencer.index(pictures)
    with torch.no_grad():
        means = []
        for name in NAMES:
            tokens = model.encoders.tokenize([template.format(name) for template in templates])
            means.append(F.normalize(model.heads["itc"].text_feats(model.encoders.encode_text(tokens)).mean(0), dim=0))
        cosines = index.feats @ torch.stack(means).T
        shares = (model.heads["itc"].scale() * cosines).softmax(dim=1)
    found = inferencer.classify(pictures, NAMES, templates=templates, topk=3)
    assert found == inferencer.classify(index, NAMES, templates=templates, topk=3)
    for row, entry in enumerate(found):
        order = cosines[row].argsort(descending=True)[:3].tolist()
        assert entry["image"] == pictures[row] and entry["class"] == NAMES[order[0]]
        assert [one["index"] for one in entry["classes"]] == order
        assert [one["score"] for one in entry["classes"]] == pytest.approx(cosines[row, order].tolist(), abs=1e-5)
        assert entry["probability"] == pytest.approx(shares[row, order[0]].item(), abs=1e-5)
    assert len(inferencer.classify(pictures[0], NAMES, topk=9)[0]["classes"]) == 4


def test_names_and_templates_are_checked(inferencer, pictures):
    with pytest.raises(DataError, match="class_names: 'a' is there twice"):
        inferencer.classify(pictures, ["a", "a"])
    with pytest.raises(ConfigError, match=r"templates\[0\]: must hold \{\} once"):
        inferencer.classify(pictures, NAMES, templates="a photo")
    with pytest.raises(ConfigError, match="classify.topk: must be 1 or more, got 0"):
        inferencer.classify(pictures, TEXTS, topk=0)
    with (
        without_head(inferencer, "itc"),
        pytest.raises(ConfigError, match="Inferencer.classify: model.heads must hold ITCHead"),
    ):
        inferencer.classify(pictures, NAMES)
