import io
import re

import pytest
import torch
from rich.console import Console

from bus_toolkit.engine import RichProgressHook, build_runner
from bus_toolkit.engine.hooks.progress import LossMeans, describe_step
from tests.engine.tiny_run import tiny_config


def trained(tmp_path, width=200, **console):
    screen = io.StringIO()
    cfg = tiny_config(tmp_path)
    cfg.default_hooks = {"progress": None}
    runner = build_runner(cfg)
    runner.register_hook(RichProgressHook(interval=2, console=Console(file=screen, width=width, **console)))
    runner.train()
    return runner, screen.getvalue()


def test_plain_lines_show_losses_tokens_speed_and_time(tmp_path):
    _, text = trained(tmp_path)
    lines = text.splitlines()
    assert [line.split("  ")[1] for line in lines] == ["step 1/4", "step 2/4", "step 4/4"]
    for word in ("epoch 2/2", "fit ", "size ", "tokens caption 2 x 9 > 4", "grad ", "data 0.", "memory ", "samples/s"):
        assert word in lines[-1]
    assert lines[-1].endswith("0:00:00 left")


def test_a_terminal_gets_a_live_line_that_ends(tmp_path):
    runner, text = trained(tmp_path, force_terminal=True)
    assert "4/4" in text and "\x1b[?25h" in text  # the cursor is shown again
    assert not any(getattr(hook, "progress", None) for hook in runner.hooks)


def test_the_live_line_keeps_to_one_line_of_80_columns(tmp_path):
    _, text = trained(tmp_path, width=80, force_terminal=True)
    lines = [re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", line) for line in re.split(r"[\r\n]+", text)]
    lines = [line.rstrip() for line in lines if line.strip()]
    assert all(line.startswith(("training", "epoch")) and len(line) <= 80 for line in lines)
    assert lines[-1].startswith("epoch 2/2") and lines[-1].endswith("0:00:00 left")


def test_speed_tokens_and_total_time_enter_the_log(tmp_path):
    runner, _ = trained(tmp_path)
    hub = runner.message_hub
    assert hub.get_scalar("train/samples_per_second").current() > 0
    assert hub.get_scalar("train/tokens_caption_block_2").current() == 9
    assert hub.get_scalar("train/tokens_caption_rows").current() == 2
    assert hub.get_scalar("train/grad_norm").current() > 0 and hub.get_scalar("train/data_time").current() >= 0
    assert hub.get_scalar("train/memory_cpu").current() > 100
    assert hub.get_info("train_samples_per_second") > 0 and hub.get_info("train_seconds") >= 0


def test_losses_are_means_since_the_last_reading():
    means = LossMeans()
    means.add({"loss": torch.tensor(1.0, requires_grad=True), "accuracy": torch.tensor(9.0)})
    means.add({"loss": torch.tensor(3.0)})
    assert means.read() == {"loss": 2.0}
    means.add({"loss": 5.0})
    assert means.read() == {"loss": pytest.approx(5.0)}


def test_a_step_without_tokens_is_described_too():
    assert describe_step({"loss_itc": 1.25}, {}, 12.34, 61.0) == "itc 1.250  |  12.3 samples/s  |  0:01:01 left"
