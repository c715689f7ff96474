"""Ranks that stop, die or come late, in processes of their own."""

import re
import signal

import pytest

from bus_toolkit.config import load_config
from bus_toolkit.errors import ConfigError
from tests.engine.stopped_run import finish, screen, start
from tests.engine.test_stop_signals import sent

LIMIT = 12  # seconds; on a machine that is busy with other things a process may not run for some
MANY_STEPS = {"train_cfg__max_epochs": 50, "env_cfg": {"dist_cfg": {"backend": "nccl", "timeout": LIMIT}}}


def last_error(folder, rank):
    return screen(folder, rank).strip().splitlines()[-1]


@pytest.mark.slow
def test_a_stopped_rank_is_named_with_its_step_within_the_limit(tmp_path):
    hook = sent(signal.SIGSTOP, step=2, rank=1)
    first, second = start(tmp_path, 2, custom_hooks=[hook], **MANY_STEPS)
    first.join(120)
    second.kill()
    assert first.exitcode == 2
    error = last_error(tmp_path, 0)
    assert re.search(
        r"ranks: rank 1 gives no sign of life since it was .+; rank 0 is computing step 3 and waits", error
    )
    assert "at most 12 s" in error and "Look at that rank's own output" in error


@pytest.mark.slow
def test_a_rank_that_hangs_is_named_with_what_it_does(tmp_path):
    hook = {"type": "bus_toolkit.SleepAt", "step": 2, "rank": 1}
    first, second = start(tmp_path, 2, custom_hooks=[hook], **MANY_STEPS)
    first.join(120)
    second.kill()
    assert first.exitcode == 2
    assert "rank 1 is waiting for the data of step 3; rank 0 is " in last_error(tmp_path, 0)


@pytest.mark.slow
def test_a_dead_rank_is_named_at_once(tmp_path):
    hook = sent(signal.SIGKILL, step=2, rank=1)
    assert finish(start(tmp_path, 2, custom_hooks=[hook], **MANY_STEPS)) == [2, -signal.SIGKILL]
    assert "rank 1 gives no sign of life since it was " in last_error(tmp_path, 0)


def test_the_limit_is_a_key_of_the_config(tmp_path):
    base = tmp_path / "c.yaml"
    base.write_text("_base_: bus/bus_scenes_tiny\n")
    assert load_config(base, ["env_cfg.dist_cfg.timeout=30"]).env_cfg.dist_cfg.timeout == 30
    with pytest.raises(ConfigError, match=r"env_cfg.dist_cfg.timeout: must be above 0, got 0\. It is how many seconds"):
        load_config(base, ["env_cfg.dist_cfg.timeout=0"])
    with pytest.raises(ConfigError, match=r"dist_cfg has no 'timeuot'.*timeout"):
        load_config(base, ["env_cfg.dist_cfg.timeuot=30"])
