import errno
import os

import pytest
import torch
from mmengine.hooks import Hook

from bus_toolkit.engine import AtomicCheckpointHook, RunOptions, build_runner, latest_checkpoint, load_checkpoint_file
from bus_toolkit.engine.hooks.checkpoint import AtomicLocalBackend
from bus_toolkit.engine.whole_start import newest_whole
from bus_toolkit.errors import ConfigError, TrainingError
from tests.engine.hooks.test_learning_faults import Break
from tests.engine.tiny_run import TinyMean, tiny_config


def config(tmp_path, **hook):
    cfg = tiny_config(tmp_path, max_epochs=3)
    cfg.default_hooks = {"checkpoint": {"type": "bus_toolkit.AtomicCheckpointHook", "interval": 1} | hook}
    return cfg


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def test_a_kill_in_the_middle_leaves_the_old_bytes(tmp_path, monkeypatch):
    backend, path = AtomicLocalBackend(), tmp_path / "a.pth"
    backend.put(b"old", path)
    monkeypatch.setattr(os, "fsync", lambda fd: (_ for _ in ()).throw(OSError("disk is gone")))
    with pytest.raises(OSError, match="disk is gone"):
        backend.put(b"new", path)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.pth"]


def test_a_failing_save_leaves_the_previous_checkpoint_to_resume_from(tmp_path, monkeypatch):
    real, calls = os.replace, []

    def fail_at_second_checkpoint(source, target):
        if str(target).endswith(".pth"):
            calls.append(target)
            if len(calls) == 2:
                raise KeyboardInterrupt
        return real(source, target)

    monkeypatch.setattr(os, "replace", fail_at_second_checkpoint)
    with pytest.raises(KeyboardInterrupt):
        build_runner(config(tmp_path, max_keep_ckpts=1)).train()
    assert latest_checkpoint(tmp_path) == tmp_path / "epoch_1.pth"
    assert load_checkpoint_file(tmp_path / "epoch_1.pth")["meta"]["epoch"] == 1
    assert names(tmp_path) == ["config.yaml", "epoch_1.pth", "last_checkpoint", "run.lock"]


def test_outdated_checkpoints_are_removed(tmp_path):
    build_runner(config(tmp_path, max_keep_ckpts=1)).train()
    assert names(tmp_path) == ["config.yaml", "epoch_3.pth", "last_checkpoint"]


def test_all_checkpoints_are_kept_when_nothing_else_is_said(tmp_path):
    build_runner(config(tmp_path)).train()
    assert [name for name in names(tmp_path) if name.endswith(".pth")] == ["epoch_1.pth", "epoch_2.pth", "epoch_3.pth"]


def test_only_the_last_checkpoint_is_written_without_an_interval(tmp_path):
    build_runner(config(tmp_path, interval=-1)).train()
    assert [name for name in names(tmp_path) if name.endswith(".pth")] == ["epoch_3.pth"]


def test_the_old_name_of_backend_args_is_refused_with_the_new_one():
    with pytest.raises(
        ConfigError, match=r"AtomicCheckpointHook\.file_client_args: .*Write backend_args, or leave both"
    ):
        AtomicCheckpointHook(file_client_args={"backend": "disk"})
    assert AtomicCheckpointHook(file_client_args=None).interval == -1


@pytest.mark.parametrize(("setting", "message"), [("tiny/x", "got None"), ("tiny/acc", "got 'more'")])
def test_a_direction_that_is_not_known_is_asked_for(setting, message):
    rule = {"rule": "more"} if setting == "tiny/acc" else {}
    with pytest.raises(
        ConfigError, match=rf"AtomicCheckpointHook.rule: must be greater or less for '{setting}', {message}"
    ):
        AtomicCheckpointHook(save_best=setting, **rule)


def test_auto_without_a_known_direction_is_warned_of(tmp_path, caplog):
    cfg = config(tmp_path, save_best="auto")
    cfg.train_cfg.val_interval = 1
    with caplog.at_level("WARNING", "bus_toolkit"):
        build_runner(cfg).train()
    assert caplog.text.count("auto takes the first figure, 'tiny/mean'. Set rule to greater or less.") == 1


def test_the_best_checkpoint_is_written_too(tmp_path):
    cfg = config(tmp_path, save_best="tiny/mean", rule="greater")
    cfg.train_cfg.val_interval = 1
    build_runner(cfg).train()
    best = [name for name in names(tmp_path) if name.startswith("best_")]
    assert len(best) == 1
    assert torch.is_tensor(load_checkpoint_file(tmp_path / best[0])["state_dict"]["linear.weight"])


def test_the_best_checkpoint_before_stays_until_the_new_one_is_whole(tmp_path, monkeypatch):
    cfg = config(tmp_path, save_best="tiny/mean", rule="greater")
    cfg.train_cfg.val_interval = 1
    scores = iter([0.1, 0.2, 0.3])
    monkeypatch.setattr(TinyMean, "compute_metrics", lambda self, results: {"mean": next(scores)})
    real, held = os.replace, []

    def note(source, target):
        real(source, target)
        if os.path.basename(target).startswith("best_"):
            held.append(sorted(name for name in names(tmp_path) if name.startswith("best_")))

    monkeypatch.setattr(os, "replace", note)
    build_runner(cfg).train()
    first, second, third = (f"best_tiny_mean_epoch_{epoch}.pth" for epoch in (1, 2, 3))
    assert held == [[first], [first, second], [second, third]]
    assert [name for name in names(tmp_path) if name.startswith("best_")] == [third]


def full_after(monkeypatch, number):
    """Let the disk be full from the given checkpoint on."""
    real, calls = os.replace, []

    def replace(source, target):
        if str(target).endswith(".pth"):
            calls.append(target)
            if len(calls) >= number:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)


def test_a_full_disk_ends_the_training_with_a_reason_and_leaves_what_was_there(tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        full_after(patched, 2)
        with pytest.raises(TrainingError) as caught:
            build_runner(config(tmp_path)).train()
    assert str(caught.value).startswith(
        f"{tmp_path}/epoch_2.pth: cannot be written: No space left on device. The check"
    )
    assert names(tmp_path) == ["config.yaml", "epoch_1.pth", "last_checkpoint"]
    build_runner(config(tmp_path), RunOptions(resume="latest")).train()
    assert names(tmp_path)[:4] == ["config.yaml", "epoch_1.pth", "epoch_2.pth", "epoch_3.pth"]


def _with_a_full_disk(rank, folder):
    os.chdir(folder)
    with pytest.MonkeyPatch.context() as patched:
        full_after(patched, 1)
        try:
            build_runner(config("run", save_best="tiny/mean", rule="less"), RunOptions(launcher="pytorch")).train()
        except TrainingError as error:
            return str(error)
    return "it ended well"


@pytest.mark.slow
def test_the_other_ranks_hear_of_a_full_disk(tmp_path, two_ranks):
    first, second = two_ranks(_with_a_full_disk, tmp_path)
    assert second == f"rank 0: {first}" and "epoch_1.pth: cannot be written: No space left" in first


@pytest.mark.parametrize("hook", [None, {"type": "bus_toolkit.LearningFaultsHook", "max_nonfinite_steps": None}])
def test_where_nan_may_pass_it_takes_no_checkpoints_place(tmp_path, caplog, hook):
    cfg = config(tmp_path, max_keep_ckpts=1, save_best="tiny/mean", rule="less")
    cfg.train_cfg.val_interval = 1
    cfg.default_hooks.learning_faults = hook
    runner = build_runner(cfg)
    runner.register_hook(Break(3, float("nan")))
    with caplog.at_level("WARNING", "bus_toolkit"):
        runner.train()
    assert [name for name in names(tmp_path) if name.endswith(".pth")] == ["best_tiny_mean_epoch_1.pth", "epoch_1.pth"]
    text = "No checkpoint is written at iteration 4: 1 tensors of the model are not finite, the first linear.weight"
    assert text in caplog.text


def test_a_disk_that_is_full_for_the_logs_alone_is_one_line_too(tmp_path, monkeypatch):
    def no_room(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("mmengine.visualization.Visualizer.add_scalars", no_room)
    monkeypatch.setattr("mmengine.visualization.Visualizer.add_scalar", no_room)
    cfg = config(tmp_path)
    cfg.default_hooks.logger = {"type": "LoggerHook", "interval": 1}
    with pytest.raises(TrainingError, match=rf"{tmp_path}: cannot be written any more: No space left on device\. The"):
        build_runner(cfg).train()


def test_two_trainings_do_not_share_a_folder_of_checkpoints(tmp_path):
    """By MMEngine's rule both write into ``all/run``."""
    runner = build_runner(config(tmp_path / "a" / "run", out_dir=str(tmp_path / "all")))
    runner.register_hook(LooksAtTheLock(tmp_path / "all" / "run"))
    runner.train()
    assert not (tmp_path / "all" / "run" / "run.lock").exists()
    damaged = tmp_path / "all" / "run" / "epoch_3.pth"
    damaged.write_bytes(b"")
    assert newest_whole(tmp_path / "a" / "run").path == str(damaged.with_name("epoch_2.pth"))


class LooksAtTheLock(Hook):
    def __init__(self, folder):
        self.folder = folder

    def after_train_epoch(self, runner):
        assert (self.folder / "run.lock").is_file() and (self.folder / "run.lock") != runner.run_lock.path
