"""METEOR and SPICE are asked of pycocoevalcap; Java itself is not at hand in the tests."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from bus_toolkit.caption_scores import java_scores as module
from bus_toolkit.errors import ConfigError
from bus_toolkit.evaluation.metrics.caption_metrics import CaptionMetrics


class Meteor:
    """Returns the share of captions that are a reference, as the library returns score and scores."""

    def compute_score(self, wanted: dict, found: dict) -> tuple[float, list[float]]:
        hits = [float(found[number][0] in wanted[number]) for number in wanted]
        return sum(hits) / len(hits), hits


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.shutil, "which", lambda name: "/usr/bin/java")
    for name in ("pycocoevalcap", "pycocoevalcap.meteor", "pycocoevalcap.meteor.meteor"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules["pycocoevalcap.meteor.meteor"].Meteor = Meteor  # type: ignore[attr-defined]


def test_scores_are_those_of_the_library_on_the_common_tokens(library: None) -> None:
    metric = CaptionMetrics(java_scores=["METEOR"])
    rows = [
        {"image": 0, "caption": "A dog.", "references": ["a dog", "the dog"]},
        {"image": 1, "caption": "a cat", "references": ["a bird"]},
    ]
    assert metric.summarise(rows)["METEOR"] == 0.5
    assert "METEOR" not in CaptionMetrics().summarise(rows)


def test_what_cannot_be_computed_is_refused_at_once(library: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="java_scores: must be some of METEOR, SPICE, got 'CIDEr'"):
        CaptionMetrics(java_scores=["CIDEr"])
    monkeypatch.setitem(sys.modules, "pycocoevalcap", None)
    with pytest.raises(ConfigError, match="METEOR need pycocoevalcap. pip install"):
        CaptionMetrics(java_scores=["METEOR"])
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    with pytest.raises(ConfigError, match="METEOR need Java, and no java is on the PATH"):
        CaptionMetrics(java_scores=["METEOR"])
