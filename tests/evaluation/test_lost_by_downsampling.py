"""Accuracy on the questions that a smaller image loses."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bus_toolkit.engine.hooks.sample_lines import SampleLinesHook
from bus_toolkit.errors import ConfigError, DataError
from bus_toolkit.evaluation.lost_by_downsampling import LostByDownsampling
from bus_toolkit.evaluation.metrics.accuracy import ClassificationAccuracy


def lines(verdicts: Mapping[int, float], metric: str = "classification") -> Iterator[dict[str, Any]]:
    for number, correct in verdicts.items():
        yield {"id": number, "image": number, "kind": "colour", "metric": metric, "correct": correct}


def write(file: Path, *parts: Iterator[dict[str, Any]]) -> Path:
    text = "".join(f"{json.dumps(line)}\n" for part in parts for line in part).encode()
    file.write_bytes(gzip.compress(text) if file.suffix == ".gz" else text)
    return file


def pair(folder: Path) -> tuple[Path, Path]:
    """Return files of which 2, 3 and 5 are lost, 1 stays right, 4 stays wrong and 6 is won."""
    full = write(folder / "full.jsonl.gz", lines({1: 1, 2: 1, 3: 1, 4: 0, 5: 1, 6: 0}))
    small = write(folder / "small.jsonl", lines({1: 1, 2: 0, 3: 0, 4: 0, 5: 0, 6: 1}))
    return full, small


def test_only_what_is_lost_counts(tmp_path: Path) -> None:
    lost = LostByDownsampling(*pair(tmp_path))
    lost.add(lines({1: 0, 2: 1, 3: 0, 4: 1, 5: 1, 6: 1}))
    lost.add(lines({2: 0, 3: 0, 5: 0}, metric="another"))
    expected = {"lost_by_downsampling/classification": 2 / 3, "lost_by_downsampling/classification_questions": 3}
    assert lost.figures() == expected


def test_answers_that_are_right_by_parts_count_by_parts(tmp_path: Path) -> None:
    full = write(tmp_path / "full.jsonl", lines({1: 0.6, 2: 1, 3: 0.3}, "vqa"))
    small = write(tmp_path / "small.jsonl", lines({1: 0.3, 2: 0.6, 3: 0}, "vqa"))
    lost = LostByDownsampling(full, small)  # the first: more than half right, then less
    lost.add(lines({1: 0.9, 2: 0, 3: 0}, "vqa"))
    assert lost.figures() == {"lost_by_downsampling/vqa": 0.9, "lost_by_downsampling/vqa_questions": 1}


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    full, small = pair(tmp_path)
    with pytest.raises(DataError, match="right in the first and wrong in the second, got none"):
        LostByDownsampling(full, full)
    fewer = write(tmp_path / "fewer.jsonl", lines({1: 1, 2: 0}))
    with pytest.raises(DataError, match="same questions, got 6 and 2, of which 2 are in both"):
        LostByDownsampling(full, fewer)
    with pytest.raises(DataError, match="has no line that says what is correct"):
        LostByDownsampling(write(tmp_path / "none.jsonl"), small)
    with pytest.raises(DataError, match="line 2: the question '1' of classification is there twice"):
        LostByDownsampling(write(tmp_path / "twice.jsonl", lines({1: 1}), lines({1: 1})), small)
    with pytest.raises(DataError, match="line 1: needs id, kind, metric and correct"):
        LostByDownsampling(write(tmp_path / "field.jsonl", iter([{"id": 1, "correct": 1}])), small)
    with pytest.raises(DataError, match="missing.jsonl: cannot be read"):
        LostByDownsampling(tmp_path / "missing.jsonl", small)


def test_a_test_on_other_data_is_refused(tmp_path: Path) -> None:
    lost = LostByDownsampling(*pair(tmp_path))
    lost.add(lines({1: 1, 2: 1}))
    with pytest.raises(DataError, match="must ask all 3 questions of classification that a smaller image loses, got 1"):
        lost.figures()


def test_a_test_reports_it_beside_its_metrics(tmp_path: Path) -> None:
    metric = ClassificationAccuracy()
    runner: Any = SimpleNamespace(test_evaluator=SimpleNamespace(metrics=[metric]), test_loop=None)
    hook = SampleLinesHook(tmp_path / "own.jsonl", LostByDownsampling(*pair(tmp_path)))
    hook.before_test(runner)
    guesses = {1: 0, 2: 1, 3: 1, 4: 1, 5: 0, 6: 0}  # the label is 1 always
    samples = [
        {"text_id": number, "image_id": number, "question_type": "colour", "gt_label": 1, "pred_label": guess}
        for number, guess in guesses.items()
    ]
    metric.process(None, samples)
    metrics = {f"classification/{name}": value for name, value in metric.compute_metrics(metric.results).items()}
    hook.after_test_epoch(runner, metrics)
    hook.after_test(runner)
    assert metrics["classification/accuracy"] == 0.5
    assert metrics["lost_by_downsampling/classification"] == 2 / 3
    assert len((tmp_path / "own.jsonl").read_text().splitlines()) == 6


def test_a_metric_without_verdicts_is_refused(tmp_path: Path) -> None:
    runner: Any = SimpleNamespace(test_evaluator=SimpleNamespace(metrics=[]), test_loop=None)
    with pytest.raises(ConfigError, match="--lost-by-downsampling: needs a metric with a verdict on single samples"):
        SampleLinesHook(lost=LostByDownsampling(*pair(tmp_path))).before_test(runner)
