"""The checks that run in processes of their own, called here."""

from __future__ import annotations

import pytest
import torch

from bus_toolkit.doctor import Verdict, devices, plugins, step
from bus_toolkit.errors import Problem
from bus_toolkit.plugin.records import PluginRecord
from bus_toolkit.testing import model as testing_model


def test_a_training_step_in_both_precisions() -> None:
    first, second = step.check("cpu")
    assert (first.verdict, second.verdict) == (Verdict.OK, Verdict.OK)
    assert first.what.startswith("cpu: a training step in float32, loss ")
    assert second.what.startswith("cpu: a training step in bfloat16, loss ")


def test_a_step_that_is_not_finite_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    make = testing_model.tiny_model

    def broken(*args, **kwargs):
        model = make(*args, **kwargs)
        with torch.no_grad():
            next(model.parameters()).fill_(torch.nan)
        return model

    monkeypatch.setattr(testing_model, "tiny_model", broken)
    assert [finding.verdict for finding in step.check("cpu")] == [Verdict.FAULT] * 2


@pytest.mark.parametrize(
    ("has_gpu", "hidden", "cuda", "verdict", "words"),
    [
        (False, None, "13.0", Verdict.OK, "no GPU, so that runs use the CPU"),
        (True, "", "13.0", Verdict.WARNING, "CUDA_VISIBLE_DEVICES= hides"),
        (True, None, None, Verdict.FAULT, "a build of PyTorch for the CPU"),
        (True, None, "13.0", Verdict.FAULT, "cannot use: it gives no reason"),
    ],
)
def test_why_there_is_no_gpu(has_gpu, hidden, cuda, verdict, words, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(devices, "_has_gpu", lambda: has_gpu)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if hidden is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    (finding,) = devices.check()
    assert finding.verdict is verdict and words in finding.what and bool(finding.advice) is (verdict is not Verdict.OK)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_is_named() -> None:
    assert devices.check()[1].what.startswith("cuda:0: ") and step.check("cuda:0")[0].verdict is Verdict.OK


def test_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = PluginRecord("bad", "bad 1.0")
    failed.fail(ImportError("no module x"))
    records = [PluginRecord("good", "good 2.0", "loaded", ["selector A"]), failed, PluginRecord("left", "left 3.0")]
    monkeypatch.setattr(plugins, "list_plugins", lambda: records)
    unknown = Problem("BUS_PLUGINS", "plugin 'goood' is not installed. Did you mean 'good'?")
    monkeypatch.setattr(plugins, "missing_plugins", lambda: [unknown])
    good, bad, left, missing = plugins.check()
    assert (good.verdict, good.what) == (Verdict.OK, "good (good 2.0): 1 parts")
    assert bad.verdict is Verdict.FAULT and "ImportError: no module x." in bad.what and "BUS_PLUGINS" in bad.advice
    assert left.verdict is Verdict.WARNING and "BUS_PLUGINS" in left.advice
    assert missing.verdict is Verdict.FAULT and missing.what == str(unknown)
