"""The battery on the CPU at toy size, so that it is known to work where there is a card."""

import json
from dataclasses import replace

import pytest
import torch

from bus_toolkit.gpu_battery import speed
from bus_toolkit.gpu_battery.arms import PAPER, TOY, model_nodes
from bus_toolkit.gpu_battery.run import run_battery
from bus_toolkit.plugin.manager import load_plugins

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _plugins():
    load_plugins(["bus_text_free"])


@pytest.mark.slow
def test_at_toy_size_all_arms_have_figures_and_agree_with_the_cpu():
    seen = []
    report = run_battery(replace(TOY, selectors={"ToMe": TOY.selectors["ToMe"]}), CPU, minutes=60.0, tell=seen.append)
    assert [one.arm for one in report.speeds] == ["unpruned", "BUS", "random", "ToMe"]
    assert all(one.samples_per_second > 0 and one.peak_mib > 0 for one in report.speeds)
    exact = [one for one in report.agreements if one.precision == "float32" and one.difference is not None]
    assert [one.part for one in exact] == ["selectors none", "selectors TSPS", "selectors ToMe"]
    assert all(one.difference == 0.0 for one in exact)  # the CPU beside itself
    assert report.is_good and seen == [*report.agreements, *report.speeds]
    json.dumps(report.to_json())


def test_without_time_parts_and_arms_are_named():
    report = run_battery(TOY, CPU, minutes=0.0, tell=lambda one: None)
    assert len(report.agreements) == 12  # of the arms' selectors and of none, each in both precisions
    assert {one.problem for one in (*report.agreements, *report.speeds)} == {"no time was left"} and not report.is_good


@pytest.mark.slow
def test_a_batch_is_halved_until_the_unpruned_model_fits(monkeypatch):
    def fill_in(one, node, size, device):
        if one.batch > 16:
            raise torch.OutOfMemoryError
        one.samples_per_second = one.peak_mib = 1.0

    monkeypatch.setattr(speed, "_fill_in", fill_in)
    batches = [one.batch for one in speed.measure(replace(TOY, batches={64: 64}), CPU, has_time=lambda: True)]
    assert set(batches) == {16}


def test_at_paper_scale_arms_differ_in_selectors_and_decoder_alone():
    nodes = model_nodes(PAPER, 384)
    assert list(nodes) == ["unpruned", "BUS", "random", "EViT", "ToMe", "ELIP"]
    bare = [{k: v for k, v in node.items() if k not in ("selectors", "decoder")} for node in nodes.values()]
    assert all(one == bare[0] for one in bare) and bare[0]["backbone"]["img_size"] == 384
    assert nodes["random"]["decoder"] == nodes["BUS"]["decoder"] and nodes["unpruned"]["selectors"] == []
