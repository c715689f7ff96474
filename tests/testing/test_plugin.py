"""check_plugin: settings, parts that cannot be built, kinds without checks, one line for one cause."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bus_toolkit.errors import ConfigError, PluginError
from bus_toolkit.testing import Verdict, check_plugin
from bus_toolkit.testing.settings import read_settings
from tests.testing.installed import plugin

HEADER = """
import bus_toolkit
import torch
from torch import nn
from bus_toolkit.registry import DATA_SAMPLERS, METRICS
from bus_toolkit.evaluation import SampleMetric
from bus_toolkit.selectors import PatchSelector
"""
PARTS = """
class Plain(PatchSelector):
    def score(self, view):
        return view.patches.norm(dim=-1)

class Staged(PatchSelector):
    def __init__(self, *, blocks, keep_ratios):
        if len(blocks) != len(keep_ratios):
            raise ValueError("keep_ratios: must be as many as blocks.")
        super().__init__(blocks=blocks)
        self.ratios = dict(zip(blocks, keep_ratios))

    def score(self, view):
        return view.patches.norm(dim=-1)

    def num_kept(self, view):
        return max(1, int(view.patches.shape[1] * self.ratios[view.block]))

class NoScore(PatchSelector):
    pass

class Thing:
    def __init__(self, *, embed_dim):
        pass

class Raises(nn.Module):
    def __init__(self):
        super().__init__()
        self.width = self.missing

@bus_toolkit.hookimpl
def register_components(registries):
    for selector in (Plain, Staged, NoScore):
        registries.selectors.register(selector)
    registries.decoders.register(Thing)
    registries.fusions.register(Raises)
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Return a function that lets a source be found as the plugin ``mine`` beside the built-in parts."""
    with plugin("mine", tmp_path, monkeypatch):
        yield lambda source: (tmp_path / "mine.py").write_text(HEADER + source)


def verdicts(**options: object) -> dict[str, Verdict]:
    return {verdict.component: verdict for verdict in check_plugin("mine", **options)}


@pytest.mark.slow
def test_every_part_is_checked_whatever_the_others_do(installed: Callable[[str], None]) -> None:
    installed(PARTS)
    results = verdicts(settings={"Staged": {"blocks": [1, 3], "keep_ratios": [0.75, 0.5]}})
    assert results["patch selector Plain"] == Verdict("patch selector Plain")
    assert results["patch selector Staged"].problem == ""
    thing = results["abstraction decoder Thing"].problem
    assert thing.startswith("Thing: must be a torch.nn.Module, got Thing. Derive the class from it")
    raises = results["fusion Raises"].problem
    assert raises.startswith("Raises cannot be built: its constructor crashed with AttributeError: ")
    assert "(mine.py:" in raises and raises.endswith("in __init__).")


@pytest.mark.slow
def test_one_cause_is_named_once(installed: Callable[[str], None]) -> None:
    installed(PARTS)
    first, *lines = verdicts(settings={"Staged": {"keep_ratios": [0.5]}})["patch selector NoScore"].problem.splitlines()
    assert first == "NoScore breaks promises of its kind:"
    (line,) = lines
    assert line.startswith("- plan: it crashed with NotImplementedError: NoScore has no score(view)")
    assert "(and in num_left, several_blocks, best_are_kept, " in line


def test_required_arguments_are_asked_for(installed: Callable[[str], None]) -> None:
    installed(PARTS)
    assert verdicts()["patch selector Staged"].problem == (
        "not checked: give it the arguments that it requires: --set Staged.keep_ratios=VALUE"
    )


@pytest.mark.slow
def test_shared_settings_reach_the_parts_that_take_them(installed: Callable[[str], None]) -> None:
    installed(PARTS)
    assert verdicts(shared={"keep_ratios": [0.5]})["patch selector Staged"].problem == ""
    with pytest.raises(PluginError, match="no component takes 'keep_ratos'. Did you mean 'keep_ratios'"):
        verdicts(shared={"keep_ratos": [0.5]})
    with pytest.raises(PluginError, match="no component is named 'Stage'. Did you mean 'Staged'"):
        verdicts(settings={"Stage": {}})


METRIC = """
@METRICS.register_module()
class MeanWords(SampleMetric):
    default_prefix = "words"
    needs = "text"
    def row(self, sample):
        return {"count": len(sample["text"].split())}
    def summarise(self, rows):
        return {"mean": sum(row["count"] for row in rows) / len(rows)}

@METRICS.register_module()
class Nothing(MeanWords):
    def row(self, sample):
        return {}

@DATA_SAMPLERS.register_module()
class Every:
    pass

@bus_toolkit.hookimpl
def config_folders():
    return []
"""


def test_what_the_runner_builds_is_checked_or_named(installed: Callable[[str], None]) -> None:
    installed(METRIC)
    results = verdicts()
    assert results["metric MeanWords"].problem == ""
    assert "values: it reports nothing for the predictions " in results["metric Nothing"].problem
    assert results["data sampler Every"].skipped == "the kit has no checks for the kind data sampler"


def test_settings_are_read_from_words_and_a_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("Mine: {blocks: [1, 3], fuse: none}\n")
    assert read_settings(["keep_ratio=0.25", "Mine.blocks=[2]"], file) == (
        {"Mine": {"blocks": [2], "fuse": "none"}},
        {"keep_ratio": 0.25},
    )
    with pytest.raises(ConfigError, match="--set: must be KEY=VALUE or COMPONENT.KEY=VALUE, got 'blocks'"):
        read_settings(["blocks"])
    file.write_text("Mine: 3\n")
    with pytest.raises(ConfigError, match="Mine must hold a mapping of arguments, got 3"):
        read_settings([], file)
