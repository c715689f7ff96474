"""Downstream recipes train three steps and are measured on miniatures in the form of the public files."""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus_toolkit.shipped import list_configs
from tests.recipes.downstream import RECIPES, STEPS, TASKS, run, write_data

# Every task and every system; ``python -m tests.recipes.downstream`` runs all of them.
SOME = [
    "trips/trips_retrieval_base",
    "copa/copa_retrieval_zero_shot",
    "albef/albef_vqa_base",
    "bus/bus_caption_scst_base",
    "copa/copa_nocaps_base",
    "elip/elip_nlvr2_base",
    "trips/trips_entailment_base",
    "copa/copa_grounding_base",
    "bus/bus_classification_zero_shot",
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("downstream")
    write_data(folder)
    gc.freeze()  # MMEngine collects garbage for each data set, which takes half a second in a large process
    yield folder
    gc.unfreeze()


def test_every_system_has_every_task() -> None:
    assert set(RECIPES) <= set(list_configs())


@pytest.mark.parametrize("recipe", SOME)
def test_it_trains_three_steps_and_is_measured(
    recipe: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    steps, metrics = run(recipe, tmp_path)
    task = recipe.split("_", 1)[1]
    assert steps == (0 if task.endswith("zero_shot") or task == "nocaps_base" else STEPS)
    assert math.isfinite(metrics[TASKS[task]])
