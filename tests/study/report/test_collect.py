"""Runs are added to the committed ones in pieces, and what does not fit is refused."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from bus_toolkit.errors import DataError
from bus_toolkit.study.report.collect import collect_runs
from bus_toolkit.study.report.properties import properties_of
from bus_toolkit.study.report.runs import Run, RunKey, read_runs
from bus_toolkit.study.report.samples import OTHER, OWN, Column, Question, read_samples, read_verdicts
from tests.study.report.fake_study import write_run


def test_pieces_from_several_places_give_the_files_of_one_place(tmp_path: Path) -> None:
    for out in ("whole", "first", "second"):
        for arm in ("TSPS", "random") if out == "whole" else ("TSPS",) if out == "first" else ("random",):
            write_run(tmp_path / out, "glyph", arm, 0.11, 0, questions=30, wrong_text=0.3)
    assert len(collect_runs(tmp_path / "whole", tmp_path / "a")) == 2
    for out in ("second", "first"):
        collect_runs(tmp_path / out, tmp_path / "b")
    assert collect_runs(tmp_path / "first", tmp_path / "b") == []
    assert len(collect_runs(tmp_path / "b", tmp_path / "c")) == 2 and collect_runs(tmp_path / "a", tmp_path / "c") == []
    for name in ("runs.jsonl", "samples.jsonl.gz"):
        assert len({(tmp_path / folder / name).read_bytes() for folder in "abc"}) == 1
    (tmp_path / "b" / "samples.jsonl.gz").unlink()
    with pytest.raises(
        DataError, match="b: runs.jsonl has TSPS on glyph at keep 0.11, seed 0, and samples.jsonl.gz has not"
    ):
        collect_runs(tmp_path / "b", tmp_path / "d")


def test_verdicts_are_those_of_the_run(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "out", "glyph", "TSPS", 0.11, 0, questions=30, wrong_text=0.3)
    collect_runs(tmp_path / "out", tmp_path / "results")
    questions, right = read_samples(folder / "samples.jsonl.gz")
    verdicts = read_verdicts(tmp_path / "results")["glyph"]
    assert verdicts.questions == questions and questions[Question("glyph", "4")] == ("1", "red")
    assert (verdicts.columns[Column("TSPS", 0.11, 0, OWN)] == right).all()
    assert not np.array_equal(verdicts.columns[Column("TSPS", 0.11, 0, OTHER)], right)
    run = read_runs(tmp_path / "results")["glyph", "TSPS", 0.11, 0]
    assert run.steps == 800 and run.curve[0].step == 200 and run.properties["selectors"] == ["Random"]


def test_a_committed_curve_has_each_name_once_and_all_its_points(tmp_path: Path) -> None:
    points = [
        {"step": 0, "seconds": 0.0, "macs": 0, "val": {"x/accuracy": 0.25}},
        {"step": 100, "seconds": 1.23456789, "macs": 10**12, "val": {"x/accuracy": 1 / 3, "x/other": 1}},
    ]
    write_run(tmp_path / "out", "glyph", "TSPS", 0.11, 0, questions=3, result={"curve": points})
    collect_runs(tmp_path / "out", tmp_path / "results")
    assert (tmp_path / "results" / "runs.jsonl").read_text().count("x/accuracy") == 1
    run = read_runs(tmp_path / "results")["glyph", "TSPS", 0.11, 0]
    assert [(p.step, p.seconds, p.macs, dict(p.val)) for p in run.curve] == [
        (0, 0.0, 0, {"x/accuracy": 0.25}),
        (100, 1.23457, 1e12, {"x/accuracy": 0.333333, "x/other": 1}),
    ]
    assert collect_runs(tmp_path / "out", tmp_path / "results") == []


def test_a_keep_ratio_stays_as_it_is_and_what_is_no_number_is_null(tmp_path: Path) -> None:
    nan = float("nan")
    points = [{"step": 1, "seconds": 1.0, "macs": 9, "val": {"x/accuracy": nan, "x/other": 0.5}}]
    result = {"keep": 1 / 3, "metrics": {"x/accuracy": nan}, "curve": points}
    write_run(tmp_path / "out", "glyph", "TSPS", 0.11, 0, questions=3, result=result)
    collect_runs(tmp_path / "out", tmp_path / "results")
    assert collect_runs(tmp_path / "out", tmp_path / "results") == []
    text = (tmp_path / "results" / "runs.jsonl").read_text()
    assert "NaN" not in text and '"metrics":{"x/accuracy":null}' in text
    assert dict(read_runs(tmp_path / "results")["glyph", "TSPS", 1 / 3, 0].curve[0].val) == {"x/other": 0.5}


def test_a_file_that_cannot_be_written_loses_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(*_: object) -> None:
        raise OSError(28, "No space left on device")

    write_run(tmp_path / "out", "glyph", "TSPS", 0.11, 0, questions=3)
    for name in ("write_runs", "write_verdicts"):
        with monkeypatch.context() as patch:
            patch.setattr(f"bus_toolkit.study.report.collect.{name}", fill)
            with pytest.raises(OSError):
                collect_runs(tmp_path / "out", tmp_path / "results")
    assert len(collect_runs(tmp_path / "out", tmp_path / "results")) == 1


def test_another_content_is_refused_unless_it_is_to_replace(tmp_path: Path) -> None:
    results = tmp_path / "results"
    write_run(tmp_path / "old", "glyph", "TSPS", 0.11, 0, questions=30, right=0.2, wrong_text=0.2)
    collect_runs(tmp_path / "old", results)
    write_run(tmp_path / "new", "glyph", "TSPS", 0.11, 0, questions=40, right=0.9)
    with pytest.raises(DataError, match="TSPS on glyph at keep 0.11, seed 0 is committed .* collect with --replace"):
        collect_runs(tmp_path / "new", results)
    assert len(collect_runs(tmp_path / "new", results, replacing=True)) == 1
    verdicts = read_verdicts(results)["glyph"]
    assert len(verdicts.questions) == 40 and list(verdicts.columns) == [Column("TSPS", 0.11, 0, OWN)]


def test_runs_on_other_questions_are_refused(tmp_path: Path) -> None:
    write_run(tmp_path / "out", "glyph", "TSPS", 0.11, 0, questions=30)
    write_run(tmp_path / "out", "glyph", "TSPS", 0.11, 1, questions=31)
    with pytest.raises(DataError, match=r"other questions .* \(31 and 30 questions; '30' differs\)"):
        collect_runs(tmp_path / "out", tmp_path / "results")


def test_the_last_stage_is_that_of_the_model(tmp_path: Path) -> None:
    tokens = {**{f"block {i}": 144 - i for i in range(1, 13)}, "decoder": 99, **{f"layer {i}": i for i in range(1, 11)}}
    write_run(tmp_path / "out", "glyph", "TSPS", 0.11, 0, questions=3, result={"tokens": tokens})
    collect_runs(tmp_path / "out", tmp_path / "results")
    assert list(read_runs(tmp_path / "results")["glyph", "TSPS", 0.11, 0].tokens.items()) == list(tokens.items())


@pytest.mark.parametrize("replacing", [False, True])
def test_two_folders_of_one_run_are_both_named(tmp_path: Path, replacing: bool) -> None:
    for folder, right in (("a", 0.1), ("b", 0.9)):
        write_run(tmp_path / "out" / folder, "glyph", "TSPS", 0.11, 0, questions=30, right=right)
    with pytest.raises(DataError, match=r"out/b/.*: TSPS on .*, seed 0 is in .*out/a/.*, too, with another content"):
        collect_runs(tmp_path / "out", tmp_path / "results", replacing=replacing)


def test_who_collects_at_once_loses_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_slowly(folder: Path) -> dict[RunKey, Run]:
        runs = read_runs(folder)
        time.sleep(0.05)
        return runs

    monkeypatch.setattr("bus_toolkit.study.report.collect.read_runs", read_slowly)
    for number in range(3):
        write_run(tmp_path / str(number), "glyph", f"arm {number}", 0.11, 0, questions=3)
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda number: collect_runs(tmp_path / str(number), tmp_path / "results"), range(3)))
    assert len(read_runs(tmp_path / "results")) == 3


def rewritten(results: Path, change: Callable[[list[str]], list[str]]) -> Path:
    """Change the lines of committed verdicts, as a merge by hand might."""
    file = results / "samples.jsonl.gz"
    lines = gzip.decompress(file.read_bytes()).decode().splitlines()
    file.write_bytes(gzip.compress("".join(f"{line}\n" for line in change(lines)).encode()))
    return results


def test_verdicts_are_paired_by_question_whatever_the_order_of_the_lines(tmp_path: Path) -> None:
    write_run(tmp_path / "out", "glyph", "TSPS", 0.11, 0, questions=30)
    collect_runs(tmp_path / "out", tmp_path / "results")
    before = read_verdicts(tmp_path / "results")["glyph"]
    after = read_verdicts(rewritten(tmp_path / "results", lambda lines: [lines[0], *reversed(lines[1:])]))["glyph"]
    assert list(after.questions.items()) == list(before.questions.items())
    assert (after.columns[Column("TSPS", 0.11, 0, OWN)] == before.columns[Column("TSPS", 0.11, 0, OWN)]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: [*lines, lines[1]], "the question '0' of kind 'glyph' is there twice"),
        (lambda lines: [lines[0].replace("EViT", "TSPS"), *lines[1:]], r"Column\(arm='TSPS', .* is there twice"),
        (
            lambda lines: [lines[0], *(line[:-3] + '?"}' for line in lines[1:])],
            "correct must be 0 or 1 for each",
        ),
        (
            lambda lines: [lines[0], *(line[:-3] + '"}' for line in lines[1:])],
            "correct must be 0 or 1 for each",
        ),
    ],
    ids=["question twice", "run twice", "no verdict", "too few"],
)
def test_damaged_verdicts_are_refused(tmp_path: Path, change: Callable[[list[str]], list[str]], message: str) -> None:
    for arm in ("TSPS", "EViT"):
        write_run(tmp_path / "out", "glyph", arm, 0.11, 0, questions=3)
    collect_runs(tmp_path / "out", tmp_path / "results")
    with pytest.raises(DataError, match=rf"samples.jsonl.gz: is damaged, ValueError: {message}"):
        read_verdicts(rewritten(tmp_path / "results", change))


def test_every_damaged_byte_is_found_or_harmless(tmp_path: Path) -> None:
    write_run(tmp_path / "out", "glyph", "TSPS", 0.11, 0, questions=3)
    collect_runs(tmp_path / "out", tmp_path / "results")
    before, file = read_verdicts(tmp_path / "results")["glyph"], tmp_path / "results" / "samples.jsonl.gz"
    whole, refused = file.read_bytes(), 0
    for place in range(len(whole)):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            assert read_verdicts(tmp_path / "results")["glyph"].questions == before.questions
        except DataError:
            refused += 1
    assert refused > len(whole) - 10, "only the head of a packed file has bytes that say nothing about its content"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("result.json", b"{", "is no JSON object"),
        ("result.json", b'{"task": "glyph"}', "is no result of a study, KeyError: 'arm'"),
        ("samples.jsonl.gz", b"no gzip", "cannot be read"),
        (
            "samples.jsonl.gz",
            gzip.compress(b'{"correct": 1}\n'),
            r"line 1: needs id, image, kind and correct \(0 or 1\)",
        ),
        ("samples.jsonl.gz", gzip.compress(b'{"id": 1}\n'), "verdicts of one metric are needed, got those of none"),
        (
            "samples.jsonl.gz",
            gzip.compress(b'{"id": 1, "image": 2, "kind": "x", "correct": 1}\n' * 2),
            "line 2: the question '1' of kind 'x' is there twice",
        ),
        (
            "samples.jsonl.gz",
            gzip.compress(b'{"id": 1, "image": 2, "kind": "x", "correct": 0.5}\n'),
            "line 1: needs id",
        ),
    ],
    # Packed bytes hold the time of packing, and a name of a test must be the same in every process.
    ids=["no JSON", "no arm", "not packed", "no id", "no metric", "twice", "a half"],
)
def test_damaged_files_are_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (write_run(tmp_path / "out", "glyph", "TSPS", 0.11, 0, questions=3) / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        collect_runs(tmp_path / "out", tmp_path / "results")


def test_of_several_metrics_one_is_named(tmp_path: Path) -> None:
    lines = [
        {"id": 1, "image": 2, "kind": "i2t", "metric": "retrieval", "correct": 1, "answer": 7},
        {"id": 1, "image": 2, "kind": "positive", "metric": "itm", "correct": 0},
        {"id": 1, "image": 2, "kind": "attribute", "metric": "patch_text", "auc": 0.9},
    ]
    content = gzip.compress("".join(f"{json.dumps(line)}\n" for line in lines).encode())
    folder = write_run(tmp_path / "out", "retrieval", "TSPS", 0.11, 0, questions=3)
    (folder / "samples.jsonl.gz").write_bytes(content)
    with pytest.raises(DataError, match="got those of itm, retrieval. Name one under report.samples"):
        collect_runs(tmp_path / "out", tmp_path / "results")
    with pytest.raises(DataError, match="got those of itm, retrieval and not of vqa"):
        collect_runs(tmp_path / "out", tmp_path / "results", metrics={"retrieval": "vqa"})
    collect_runs(tmp_path / "out", tmp_path / "results", metrics={"retrieval": "retrieval"})
    verdicts = read_verdicts(tmp_path / "results")["retrieval"]
    assert dict(verdicts.questions) == {Question("i2t", "1"): ("2", "7")}


def test_a_query_is_answered_by_a_right_answer_among_the_first_k(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "out", "retrieval", "TSPS", 0.11, 0, questions=3)
    file = folder / "samples.jsonl.gz"
    lines = [{"id": i, "image": i, "kind": "i2t", "correct": int(i == 1), "rank": i} for i in (1, 10, 11)]
    file.write_bytes(gzip.compress("".join(f"{json.dumps(line)}\n" for line in lines).encode()))
    assert read_samples(file)[1].tolist() == [True, False, False]
    collect_runs(tmp_path / "out", tmp_path / "results", recall_at={"retrieval": 10})
    (right,) = read_verdicts(tmp_path / "results")["retrieval"].columns.values()
    assert right.tolist() == [True, True, False]
    file.write_bytes(gzip.compress(b'{"id": 1, "image": 1, "kind": "i2t", "correct": 1}\n'))
    with pytest.raises(DataError, match="line 1: needs id, image, kind and rank, which report.recall_at reads"):
        read_samples(file, recall_at=10)


def test_nothing_to_collect_and_damaged_results_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no finished run"):
        collect_runs(tmp_path / "out", tmp_path / "results")
    write_run(tmp_path / "out", "glyph", "TSPS", 0.11, 0, questions=3)
    results = tmp_path / "results"
    collect_runs(tmp_path / "out", results)
    line = (results / "runs.jsonl").read_text()
    (results / "runs.jsonl").write_text(line * 2)
    with pytest.raises(DataError, match="line 2: TSPS on glyph at keep 0.11, seed 0 is there twice"):
        read_runs(results)
    header = json.dumps({"runs": {"glyph": [["TSPS", 0.11, 0, "own"]]}})
    row = '{"task": "glyph", "kind": "x", "id": "1", "image": "1", "answer": null, "correct": "10"}'
    (results / "samples.jsonl.gz").write_bytes(gzip.compress(f"{header}\n{row}\n".encode()))
    with pytest.raises(DataError, match="is damaged, ValueError: correct must be 0 or 1 for each of 1 runs, got '10'"):
        read_verdicts(results)


def test_properties_come_from_the_classes_that_a_config_names(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("_base_: bus/bus_scenes_tiny\n")
    properties = properties_of(config)
    assert properties["selectors"] == ["TSPS"] and properties["decoder"] == "PAD"
    assert properties["needs_text"] and properties["learns_from_boxes"] and not properties["merges"]
    config.write_text("_base_: bus/bus_scenes_tiny\nmodel: {selectors: [{type: Random, blocks: [2]}]}\n")
    properties = properties_of(config)
    assert not properties["needs_text"] and not properties["learns_from_boxes"] and properties["blocks"] == 2
