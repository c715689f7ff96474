import io
import json

import pytest
from rich.console import Console

from bus_toolkit.evaluation.report import render_report, write_results
from bus_toolkit.evaluation.report_tables import chance_recall

METRICS = {
    **{f"retrieval/{way}_R@{k}": 0.1 * k for way in ("i2t", "t2i") for k in (1, 5)},
    **{f"retrieval/rerank_{way}_R@{k}": 0.15 * k for way in ("i2t", "t2i") for k in (1, 5)},
    **{f"retrieval/paired_{way}_R@{k}": 0.2 for way in ("i2t", "t2i") for k in (1, 5)},
    "retrieval/num_images": 200.0,
    "retrieval/num_texts": 200.0,
    "patch_text/auc_named": 0.812,
    "patch_text/auc_named_shuffled": 0.6,
    "itm/accuracy": 0.83,
    "itm/hard_accuracy": 0.64,
    "mlm/accuracy": 0.5,
    "mlm/accuracy_colour": 0.47,
    "mlm/chance_colour": 0.125,
    "classification/accuracy": 0.581,
    "classification/majority": 0.553,
    "mine/score": 3.25,
}


def _text(metrics, **kwargs):
    # Eighty columns: what a pipe gets.
    console = Console(width=80, file=io.StringIO())
    console.print(render_report(metrics, title="Validation", **kwargs))
    return console.file.getvalue()


def _row(text, start):
    return next(line for line in text.splitlines() if line.strip().startswith(start))


def test_every_group_is_shown_with_its_baseline():
    text = _text(METRICS, note="Scenes are a synthetic check.")
    assert _row(text, "first stage").split()[-4:] == ["10.0", "50.0", "10.0", "50.0"]
    assert "15.0" in _row(text, "second stage")
    assert "20.0" in _row(text, "under own caption")
    assert _row(text, "chance").count("0.5") == 2 and _row(text, "chance").count("2.5") == 2
    assert "+0.212" in _row(text, "patches of other objects")
    assert "83.0" in _row(text, "caption of another image") and "64.0" in _row(text, "hardest caption")
    assert "47.0" in _row(text, "colour") and "12.5" in _row(text, "colour")
    assert "58.1" in text and "55.3" in text
    assert "3.25" in _row(text, "mine/score")
    assert text.rstrip().endswith("Scenes are a synthetic check.")


def test_answers_and_boxes_stand_beside_what_no_skill_reaches():
    text = _text(
        {
            "vqa/accuracy": 0.755,
            "vqa/by_question_type": 0.4,
            "vqa/question_colour": 0.81,
            "vqa/answer_yes_no": 0.66,
            "vqa/num_questions": 200.0,
            "grounding/accuracy": 0.566,
            "grounding/mean_iou": 0.469,
            "grounding/random_object": 0.323,
            "grounding/constant_box": 0.061,
        }
    )
    assert "Answers, % (200 questions)" in text
    assert _row(text, "all").split()[-2:] == ["75.5", "40.0"]
    assert "81.0" in _row(text, "question type: colour") and "66.0" in _row(text, "answer type: yes no")
    assert _row(text, "predicted").split()[-2:] == ["56.6", "46.9"]
    assert "32.3" in _row(text, "of a random object") and "6.1" in _row(text, "the best constant one")
    assert "Other" not in text


def test_what_was_not_measured_is_not_shown():
    text = _text({"itm/accuracy": 0.5})
    assert "Retrieval" not in text and "Masked" not in text and "hardest" not in text
    assert "No metric was measured." in _text({})


def test_captions_stand_beside_the_most_frequent_one():
    names = [*(f"BLEU_{order}" for order in range(1, 5)), "ROUGE_L", "CIDEr_D"]
    metrics = {f"caption/{name}": 0.1 * (place + 1) for place, name in enumerate(names)}
    metrics |= {f"caption/constant_{name}": 0.05 for name in names}
    text = _text({**metrics, "caption/CIDEr_D": 1.234, "caption/num_images": 200.0, "caption/num_references": 900.0})
    assert "Captions, x 100 (200 images, 900 references)" in text
    assert _row(text, "what the model wrote").split()[4:] == ["10.0", "20.0", "30.0", "40.0", "50.0", "123.4"]
    assert _row(text, "the most frequent caption").split()[4:] == ["5.0"] * 6
    assert "Other" not in text


def test_figures_of_a_task_without_a_table_are_shown_among_the_others():
    assert "0.973" in _row(_text({"caption/nll": 0.973}), "caption/nll")


def test_chance_of_recall_by_hand():
    assert chance_recall(10, 200, 1) == pytest.approx(0.05)
    # Two right among four, two drawn: 1 - (2/4)(1/3).
    assert chance_recall(2, 4, 2) == pytest.approx(5 / 6)
    assert chance_recall(10, 5, 1) == 1.0


def test_results_replace_the_old_file_in_one_step(tmp_path):
    path = tmp_path / "report" / "results.json"
    write_results(path, {"metrics": {"a": 1.0}})
    write_results(path, {"metrics": {"a": 0.5}, "note": "é"})
    assert json.loads(path.read_text(encoding="utf-8")) == {"metrics": {"a": 0.5}, "note": "é"}
    assert [file.name for file in path.parent.iterdir()] == ["results.json"]


def test_what_json_does_not_know_becomes_null(tmp_path):
    path = write_results(tmp_path / "results.json", {"metrics": {"a": float("nan"), "b": [float("inf"), 1]}, "n": 2})
    assert path.read_text().count("null") == 2
    assert json.loads(path.read_text(), parse_constant=pytest.fail) == {"metrics": {"a": None, "b": [None, 1]}, "n": 2}


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = write_results(tmp_path / "results.json", {"a": 1})
    with pytest.raises(TypeError):
        write_results(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]
