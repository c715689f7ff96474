"""The recipe for questions on scenes, cut to a few steps: it trains from other weights, and its evaluation scores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bus_toolkit.engine import RunOptions, evaluate, train
from tests.small_run import small

ROOT = Path(__file__).parent.parent / "registry_configs"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bus/bus_vqa_scenes_small", "albef/albef_vqa_scenes_small"])
def test_questions_are_trained_and_measured(name: str, tmp_path: Path) -> None:
    config = ROOT / f"{name}.yaml"
    overrides = small(tmp_path / "scenes", "load_from=null", "train_cfg.max_epochs=1")
    run = tmp_path / "run"
    train(config, overrides, RunOptions(work_dir=str(run)))
    trained = json.loads((run / "report" / "val" / "results.json").read_text())["metrics"]
    options = RunOptions(work_dir=str(tmp_path / "test_run"), load_from=str(run / "epoch_1.pth"))
    tested = evaluate(config, [*overrides, "model.heads.vqa.search=null", *RANK], options)
    for metrics in (trained, tested):
        assert metrics["vqa/num_questions"] > 20
        for key in ("accuracy", "by_question_type", "answer_yes_no", "answer_number", "answer_other", "question_count"):
            assert 0.0 <= metrics[f"vqa/{key}"] <= 1.0
        assert metrics["vqa/by_question_type"] > 0.3
    # Every answer of the list is some question's answer, so that one who chooses gets some right.
    assert tested["vqa/accuracy"] > 0.0


RANK = ("model.heads.vqa.inference=rank", 'model.heads.vqa.answer_list=["yes", "no", "1", "2"]')
