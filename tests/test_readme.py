"""What the README and the other pages show works: recipes run word for word, YAML builds, paths and links exist."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bus_toolkit import build_model, load_config

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
CONFIG = (ROOT / "registry_configs" / "CONFIG.md").read_text()
WEIGHTS = (ROOT / "registry_configs" / "WEIGHTS.md").read_text()
PAGES = sorted(
    path
    for folder in ("", "bus_toolkit", "registry_configs", "tools", "plugins")
    for path in (ROOT / folder).glob("*.md")
)


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def section(title: str) -> str:
    return README.split(f"## {title}\n")[1].split("\n## ")[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that looks like a checkout with its ``.venv``, so that nothing is installed or written here."""
    place = tmp_path_factory.mktemp("checkout")
    for path in ROOT.iterdir():
        if path.name not in (".git", ".venv", "data", "work_dirs", "build"):
            (place / path.name).symlink_to(path)
    (place / ".venv" / "bin").mkdir(parents=True)
    (place / ".venv" / "bin" / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    command = place / ".venv" / "bin" / "bus-toolkit"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m bus_toolkit "$@"\n')
    pip = place / ".venv" / "bin" / "pip"
    pip.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pip "$@"\n')
    for script in (place / ".venv" / "bin").iterdir():
        script.chmod(0o755)
    (place / ".venv" / ".installed").touch()
    return place


def run(script: str, folder: Path, **env: str) -> str:
    """Run lines of bash as a user who has activated ``.venv``; pip takes nothing from the network."""
    offline = {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_QUIET": "1"}
    offline |= {"PIP_TARGET": str(folder / "site"), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    paths = [str(folder / "site"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    activated = {"PATH": f"{folder}/.venv/bin:{os.environ['PATH']}", "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    outside = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}  # of the make that tests
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env={**outside, **offline, **activated, **env},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_recipe_1_the_demo(folder: Path) -> None:
    """Shortened: two of its eight trainings, of one step each; the test questions are the same."""
    commands = blocks(section("Recipe 1: the demo"), "bash")
    assert commands == ["make demo\n"]
    few = "steps: 1, validate: {every: 1, samples: 8}, overrides: [settings.train_images=32]"
    (folder / "demo.yaml").write_text(
        "_base_: registry_configs/_studies_/demo.yaml\n"
        f"starts: {{needles: {{{few}}}}}\ntasks: {{questions: {{{few}}}}}\n"
    )
    shown = run("make demo DEMO=demo.yaml", folder, ARGS="--only questions/text-aware", DEMO_ARMS="text-aware")
    assert re.search(r"\| text-aware +\|", shown) and "| ms " in shown and "work_dirs/demo/explain_000.png" in shown
    assert (folder / "work_dirs" / "demo" / "explain_000.png").stat().st_size > 10_000


@pytest.mark.slow
def test_recipe_2_own_pairs(folder: Path) -> None:
    """Shortened: 2 epochs in place of 60."""
    text = section("Recipe 2: your own images and captions")
    make_pairs, ask = blocks(text, "python")
    (folder / "make_pairs.py").write_text(make_pairs)
    shown = run(blocks(text, "bash")[0], folder, BUS_TOOLKIT_EPOCHS="2")
    assert len(list((folder / "photos").iterdir())) == 40 and len((folder / "pairs.csv").read_text().split()) > 40
    assert "share of unknown words" in shown and "photos/" in shown
    assert (folder / "kept" / "explain_000.png").stat().st_size > 1000
    assert "crimson" in (folder / "work_dirs" / "pairs_tiny" / "vocabulary.txt").read_text()
    (folder / "ask.py").write_text(ask)
    assert "photos/" in run("python ask.py", folder)


@pytest.mark.slow
def test_recipe_3_an_own_selector(folder: Path) -> None:
    """Shortened: 2 epochs in place of 60. It goes on in the folder of recipe 2."""
    if not (folder / "pairs.csv").exists():
        (folder / "make_pairs.py").write_text(blocks(section("Recipe 2: your own images and captions"), "python")[0])
        run("python make_pairs.py", folder)
    commands = blocks(section("Recipe 3: your own selector"), "bash")
    run(commands[0], folder, BUS_TOOLKIT_EPOCHS="2")
    assert "type: LongestPatches" in (folder / "work_dirs" / "longest" / "config.yaml").read_text()
    assert (folder / "work_dirs" / "longest" / "epoch_2.pth").is_file()


def test_the_recipes_type_no_more_than_a_screen() -> None:
    lines = README.splitlines()
    assert len(lines) <= 200
    assert [line for line in lines if len(line) > 130] == []


def test_the_yaml_of_a_model_loads_and_builds(tmp_path: Path) -> None:
    (tmp_path / "_base_").symlink_to(ROOT / "registry_configs" / "_base_")
    (tmp_path / "mine").mkdir()
    path = tmp_path / "mine" / "run.yaml"
    path.write_text(next(block for block in blocks(CONFIG, "yaml") if "type: VLPModel" in block))
    with torch.device("meta"):
        model = build_model(load_config(path))
    assert model.backbone.selectors[0].blocks == [6]


PARTS = [block for block in blocks(CONFIG, "yaml") + blocks(WEIGHTS, "yaml") if "_base_" not in block]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.split(":")[0])
def test_a_part_of_a_yaml_loads_on_top_of_the_demo(part: str, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(f"_base_: bus/bus_scenes_tiny\n{part}")
    changed = load_config(path)
    assert changed.model.type == "bus_toolkit.VLPModel"
    assert changed.to_dict() != load_config("bus/bus_scenes_tiny").to_dict()


def test_the_machinery_of_mmengine_is_shown_key_by_key() -> None:
    keys = "dtype accumulative_counts activation_checkpointing compile EMAHook EarlyStoppingHook ProfilerHook".split()
    keys += "layer_decay_rate lr_mult TensorboardVisBackend WandbVisBackend MLflowVisBackend".split()
    shown = "".join(blocks(CONFIG, "yaml"))
    assert [key for key in keys if key not in shown] == []


def paths_in(page: Path) -> list[str]:
    return sorted(set(re.findall(r"\b(?:tools|registry_configs|plugins)/[\w./]+\w", page.read_text())))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_and_links_of_a_page_exist(page: Path) -> None:
    made = ("plugins/my_",)  # what a reader makes
    assert [path for path in paths_in(page) if not (ROOT / path).exists() and not path.startswith(made)] == []
    for target in re.findall(r"\]\((?!https?:)([^)]*)\)", page.read_text()):
        file, _, anchor = target.partition("#")
        linked = page.parent / file if file else page
        assert linked.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.+)$", linked.read_text(), re.MULTILINE)
            anchors = [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]
            assert anchor in anchors, target


def test_every_registered_part_is_named() -> None:
    from bus_toolkit.registry import REGISTRIES

    for registry in REGISTRIES.all():
        for name in registry.names():
            if registry.get(name).origin.startswith("bus_toolkit,"):
                assert f"`{name}`" in README, f"{registry.kind} {name}"


def test_the_changelog_keeps_a_release_short() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert "## [Unreleased]" in text
    release = text.split("## [0.1.0]")[1]
    assert len(release.strip().splitlines()) <= 20


def test_commands_that_are_shown_are_listed() -> None:
    table = (ROOT / "tools" / "README.md").read_text()
    listed = set(re.findall(r"`([a-z-]+)(?: [^`]*)?`", table))
    shown = {name for page in PAGES for name in re.findall(r"bus-toolkit ([a-z][a-z-]+)", page.read_text())}
    assert shown <= listed


def test_no_picture_is_large() -> None:
    assert all(path.stat().st_size < 150_000 for path in (ROOT / "tools" / "docs").rglob("*.png"))
    assert shutil.which("make"), "the recipes need it"
