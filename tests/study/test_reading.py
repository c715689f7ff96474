"""The YAML of a study, its two forms and its mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from bus_toolkit.config import load_config
from bus_toolkit.errors import ConfigError
from bus_toolkit.study.plan import Match
from bus_toolkit.study.reading import read_study

ROOT = Path(__file__).parents[2] / "registry_configs"


def test_systems_are_arms_that_differ_by_their_files(systems_file: Path) -> None:
    study = read_study(systems_file)
    assert [(arm.name, arm.system, arm.match) for arm in study.arms] == [
        ("BUS", "bus", Match.NONE),
        ("unpruned", "albef", Match.NONE),
    ]
    assert study.tasks[0].seeds == (0, 1) and not study.has_ratios and study.keep_checkpoints
    assert study.started_from == ("retrieval",) == study.only(["retrieval"], None).started_from
    assert study.tasks[1].start == "retrieval" and study.tasks[1].figures[0].times == 100
    assert Path(study.tasks[0].training.config.format(system="bus")).is_file()


def test_arms_say_what_is_solved_for_equal_cost(arms_file: Path) -> None:
    study = read_study(arms_file)
    assert {arm.name: arm.match for arm in study.arms} == {
        "full": Match.NONE,
        "TSPS": Match.KEEP,
        "oracle boxes": Match.KEEP,
    }
    assert study.arm("TSPS").wrong_text and not study.keep_checkpoints
    assert study.arm("oracle boxes").selectors == ({"type": "OracleBoxes", "blocks": [1], "in_study": True},)
    attribute = study.tasks[0]
    assert attribute.training.steps == 800 and attribute.training.samples == 500
    assert [grid.keep for grid in attribute.grids] == [(0.25, 0.11), (0.5,)]
    assert study.tasks[1].alone


def test_one_line_of_a_file_based_on_a_study_adds_an_arm(arms_file: Path, tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    more = tmp_path / "below" / "more.yaml"
    more.write_text("_base_: ../arms.yaml\nplugins: [mine]\narms: [{selector: {type: MySelector, blocks: [1]}}]\n")
    study = read_study(more)
    assert [arm.name for arm in study.arms] == ["full", "TSPS", "oracle boxes", "MySelector"]
    assert study.plugins == ("mine",) and "MySelector" in study.tasks[0].grids[0].arms
    listed = [grid.arms for task in study.tasks for grid in task.grids[-1:]]
    assert listed == [("TSPS", "full", "MySelector"), ("full", "TSPS", "MySelector")], "with the reference"
    assert Path(study.tasks[0].training.config).is_file(), "relative to the file that it is written in"
    more.write_text(f"{more.read_text()}tasks: {{race: {{arms: [TSPS, full]}}}}\n")
    assert [task.grids[-1].arms[-1] for task in read_study(more).tasks] == ["MySelector", "full"], "as the file lists"
    more.write_text("_base_: ../arms.yaml\narms: {oracle boxes: null}\n")
    assert [arm.name for arm in read_study(more).arms] == ["full", "TSPS"]


def test_a_task_brings_the_one_it_starts_from(systems_file: Path) -> None:
    study = read_study(systems_file)
    assert [task.name for task in study.only(["vqa"], [7]).tasks] == ["retrieval", "vqa"]
    assert study.only(["retrieval"], [7]).tasks[0].seeds == (7,)
    with pytest.raises(ConfigError, match="--tasks: must be some of retrieval, vqa, got caption"):
        study.only(["caption"], None)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seeds: [0, 1]", "seeds: []", "seeds: must be a list of whole numbers"),
        ("title: Two systems\n", "", "needs seeds, tasks, title"),
        ("start: retrieval", "start: nlvr", "start: must be an entry of starts or a task listed before it, got 'nlvr'"),
        ('"{system}_vqa.yaml"', '"{system}_none.yaml"', "no such file"),
        ("metric: vqa/accuracy", "metrics: vqa/accuracy", "needs metric"),
        ("systems: {BUS: bus, unpruned: albef}", "systems: []", "must be mappings"),
        ("systems: {BUS: bus, unpruned: albef}", "", "needs arms, or systems as a short form"),
        ("BUS: bus, unpruned: albef", "a b: bus, a_b: albef", "become names of folders"),
        ("vqa:\n", "start:\n", "none 'start'"),
        ("BUS: bus, unpruned: albef", "..: bus, unpruned: albef", "not of dots only, got '..'"),
        ("BUS: bus, unpruned: albef", f"{'x' * 201}: bus, unpruned: albef", "of 1 to 200 bytes"),
        ('"{system}_vqa.yaml"', '"{arm}_vqa.yaml"', "tasks.vqa.config: must be a path or name of a config, in which"),
        ('"{system}_vqa.yaml"', "[a]", "tasks.vqa.config: must be a path or name of a config"),
        ("times: 100", "times: ten", "figures.accuracy.times: must be a number"),
    ],
)
def test_a_bad_study_of_systems_is_refused(systems_file: Path, old: str, new: str, message: str) -> None:
    _refused(systems_file, old, new, message)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("reference: TSPS", "reference: EViT", "reference: must be an arm, got 'EViT'"),
        ("reference: TSPS\n", "", "reference: keep ratios are those of an arm, got none"),
        ("keep: [0.25, 0.11]", "keep: [25]", "keep: must be a list of numbers between 0 and 1, got [25]"),
        ("full: {}", "full: {selecter: {}}", "arms.full: takes image, match"),
        ("full: {}", "full: {match: size}", "match: must be one of keep, image, none, got 'size'"),
        ("full: {}", "full: {image: tiny}", "image: must be smaller or be left out, got 'tiny'"),
        ("arms: [TSPS, full]", "arms: [TSPS, fool]", "arms: must be some of full, TSPS, oracle boxes"),
        ("steps: 800", "steps: 0", "steps: must be a whole number of 1 or more, got 0"),
        ("alone: true", "alone: 1", "alone: must be true or false, got 1"),
        ("title:", "_base_: arms.yaml\ntitle:", "_base_ leads back to this file"),
        ("title:", "_base_: other.yaml\ntitle:", "_base_: no such study"),
        ("keep: [0.25, 0.11]", "keep: [0.1111111]", "keep: must have six digits at most, got 0.1111111. Round it"),
        ("starts:\n  needles: {config: full.yaml, seeds: [0]}", "starts: [full.yaml]", "starts: must be a mapping"),
        (
            "seeds: [0]}\ntasks",
            "start: attribute}\ntasks",
            "an entry of starts listed before it, got 'attribute'",
        ),
        ("\n  race: {config", "\n  needles: {config", "each must be its own"),
        ("  full: {}", "  full: {}\n  Full: {}", "each must be its own, also without capitals"),
    ],
)
def test_a_bad_study_of_arms_is_refused(arms_file: Path, old: str, new: str, message: str) -> None:
    _refused(arms_file, old, new, message)


def test_arms_of_a_list_need_names(arms_file: Path) -> None:
    text = arms_file.read_text()
    arms_file.write_text(text[: text.index("arms:\n  full")] + "arms: [{}]\n")
    with pytest.raises(ConfigError, match="every arm needs a name of its own"):
        read_study(arms_file)


def _refused(file: Path, old: str, new: str, message: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError) as error:
        read_study(file)
    assert message in str(error.value)


@pytest.mark.parametrize("path", sorted((ROOT / "_studies_").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_studies_that_ship_can_be_read(path: Path) -> None:
    assert read_study(path).tasks


@pytest.mark.parametrize("path", sorted((ROOT / "_studies_").glob("*.yaml")), ids=lambda path: path.stem)
def test_no_arm_of_a_retrieval_learns_the_caption_from_its_selection(path: Path) -> None:
    """Where each image's own caption selects in training, features learn the choice, and retrieval cannot have it."""
    for task in read_study(path).tasks:
        if "{system}" in task.training.config:  # systems have files of their own
            continue
        cfg = load_config(task.training.config, task.training.overrides)
        metrics = [metric["type"].removeprefix("bus_toolkit.") for metric in cfg.test_evaluator]
        if "RetrievalRecall" in metrics:
            assert cfg.model.conditioning.mode in ("free_itc", "strict"), task.name
