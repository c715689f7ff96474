"""Counted costs are kept beside the results of a study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bus_toolkit.errors import DataError
from bus_toolkit.study.counts import FILE, Counts


class FakeCounter:
    """Counts as many MACs as the model says, and how often it was asked."""

    asked = 0

    def macs(self, model: dict[str, Any]) -> int:
        FakeCounter.asked += 1
        return model["macs"]


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> type[FakeCounter]:
    monkeypatch.setattr(FakeCounter, "asked", 0)
    monkeypatch.setattr(Counts, "_counter", lambda *_: FakeCounter())
    return FakeCounter


def test_two_studies_in_one_folder_keep_the_counts_of_both(tmp_path: Path, counter: type[FakeCounter]) -> None:
    first, second = Counts(tmp_path), Counts(tmp_path)
    assert (first.inference({"macs": 3}), second.inference({"macs": 5})) == (3, 5)
    first.save()
    second.save()
    later = Counts(tmp_path)
    assert (later.inference({"macs": 3}), later.inference({"macs": 5}), counter.asked) == (3, 5, 2)


def test_what_adds_no_count_leaves_the_file_alone(tmp_path: Path, counter: type[FakeCounter]) -> None:
    counts = Counts(tmp_path)
    counts.save()
    assert not (tmp_path / FILE).exists()
    counts.inference({"macs": 3})
    counts.save()
    before = (tmp_path / FILE).stat().st_mtime_ns
    counts.save()
    assert (tmp_path / FILE).stat().st_mtime_ns == before


@pytest.mark.parametrize(("text", "message"), [("{", "is no JSON"), ("[1]", "must be a mapping of counts, got a list")])
def test_a_damaged_file_is_named_with_its_cure(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(DataError, match=f"counts.json: {message}.* Remove it; costs are counted again."):
        Counts(tmp_path)
