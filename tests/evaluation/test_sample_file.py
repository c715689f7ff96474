"""A samples file appears whole or not at all."""

from __future__ import annotations

import gzip
import json

import pytest

from bus_toolkit.errors import BusError, ConfigError
from bus_toolkit.evaluation.sample_file import SampleFile

# A file name that is not UTF-8 reaches Python as half a character.
LINES = [{"id": 1, "prediction": "grün", "iou": float("nan")}, {"id": "caf\udce9.png", "prediction": [1, 2]}]
WRITTEN = [{**LINES[0], "iou": None}, LINES[1]]


@pytest.mark.parametrize("name", ["samples.jsonl", "samples.jsonl.gz"])
def test_lines_are_there_when_it_is_closed_and_not_before(tmp_path, name: str) -> None:
    path = tmp_path / "new" / name
    file = SampleFile(path)
    file.write(iter(LINES[:1]))
    file.write(LINES[1:])
    assert not path.exists() and file.num_lines == 2
    file.close()
    text = gzip.decompress(path.read_bytes()).decode() if name.endswith(".gz") else path.read_text("utf-8")
    assert [json.loads(line) for line in text.splitlines()] == WRITTEN
    assert [entry.name for entry in path.parent.iterdir()] == [name]


def test_equal_lines_are_equal_bytes_when_compressed(tmp_path) -> None:
    written = []
    for name in ("a.jsonl.gz", "b.jsonl.gz"):
        file = SampleFile(tmp_path / name)
        file.write(LINES)
        file.close()
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]


def test_an_evaluation_that_fails_leaves_the_earlier_file(tmp_path) -> None:
    (tmp_path / "samples.jsonl").write_text("earlier")
    file = SampleFile(tmp_path / "samples.jsonl")
    file.write(LINES)
    del file
    assert (tmp_path / "samples.jsonl").read_text() == "earlier" and len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_is_said_with_the_path(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = SampleFile(tmp_path / "samples.jsonl")
    file.write(LINES[:1])

    def full(text: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(file._text, "write", full)
    with pytest.raises(BusError, match=r"--samples: .*samples.jsonl.* No space left on device"):
        file.write(LINES)


def test_other_endings_are_refused(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"--samples: the verdicts are .*x.json. Give a name that ends in .jsonl"):
        SampleFile(tmp_path / "x.json")
