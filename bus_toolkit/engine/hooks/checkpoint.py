"""Write checkpoints so that a kill at any moment leaves the previous one whole."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mmengine.dist import master_only
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from bus_toolkit.engine.hooks.best_figures import keep_comparable, path_of_best
from bus_toolkit.engine.hooks.learning_faults import LearningFaultsHook
from bus_toolkit.engine.hooks.loss_faults import broken_tensors
from bus_toolkit.engine.hooks.model_state import unwrap
from bus_toolkit.engine.hooks.monitored import (
    GREATER_KEYS,
    LESS_KEYS,
    MissingScores,
    check_names,
    has_known_rule,
    is_score,
)
from bus_toolkit.engine.hooks.optimizer_steps import step_is_pending
from bus_toolkit.engine.refusals import unwritable_reported
from bus_toolkit.engine.run_lock import RunLock
from bus_toolkit.errors import ConfigError
from bus_toolkit.ops.shards import has_shards
from bus_toolkit.ops.shared_work import on_first_rank
from bus_toolkit.registry import HOOKS
from bus_toolkit.signatures import forwards_to_super
from bus_toolkit.weights.shard_files import shard_folder
from bus_toolkit.writing import whole_file

_log = logging.getLogger(__name__)
BACKEND = "bus_atomic"


class AtomicLocalBackend(LocalBackend):
    """Local files that appear under their name only when all bytes are on the disk."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write ``obj`` to a temporary name beside ``filepath``, flush it to the disk, rename it."""
        with whole_file(filepath) as temporary:
            temporary.write_bytes(obj)


register_backend(BACKEND, AtomicLocalBackend, force=True)


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """Save checkpoints as MMEngine's ``CheckpointHook`` does, atomically; goes into ``default_hooks.checkpoint``.

    MMEngine writes in place and removes outdated checkpoints before it has saved the new one; here the file is renamed
    when it is complete, and removal comes last. By iterations, a checkpoint that is due inside a step of accumulated
    gradients is written at its end. A training that is stopped early ends with a checkpoint, too.

    Before each, on every rank, ``before_checkpoint(runner)`` of those hooks is called that have it. Weights that are
    not finite never take the place of a checkpoint: where no hook ends the training for them, none is written.

    A ``save_best`` that a validation does not measure, or measures as NaN, is warned of, and the training goes on.

    Args:
        interval: Epochs (or iterations) between two checkpoints; -1 keeps the last one only.
        backend_args: A storage backend of MMEngine for checkpoints that do not lie on this machine.
        **kwargs: Further arguments of MMEngine's ``CheckpointHook``.
    """

    _default_greater_keys = GREATER_KEYS
    _default_less_keys = LESS_KEYS

    @forwards_to_super()
    def __init__(self, interval: int = -1, backend_args: dict[str, Any] | None = None, **kwargs: Any) -> None:
        if kwargs.pop("file_client_args", None) is not None:
            raise ConfigError(
                "AtomicCheckpointHook.file_client_args: MMEngine has given it up for backend_args, got it. Write "
                "backend_args, or leave both out to write on this machine."
            )
        try:
            super().__init__(interval=interval, backend_args=backend_args or {"backend": BACKEND}, **kwargs)
        except (ValueError, KeyError) as error:
            raise ConfigError(
                f"AtomicCheckpointHook.rule: must be greater or less for {kwargs.get('save_best')!r}, got "
                f"{kwargs.get('rule')!r}. Say which is better. ({error})"
            ) from error
        self._missing = MissingScores("AtomicCheckpointHook.save_best")
        self._is_due = False
        self._saved_at = self._broken_at = -1
        self._locks: list[RunLock] = []  # on a folder of checkpoints that is not the work dir

    def before_train(self, runner: Runner) -> None:
        """Prepare the folder; refuse figures that no metric gives.

        Raises:
            ConfigError: Such a figure, or another training writes into ``out_dir``.
        """
        super().before_train(runner)
        if self.out_dir != runner.work_dir and isinstance(self.file_backend, LocalBackend):
            on_first_rank(lambda: self._locks.append(RunLock.of(self.out_dir)))
        check_names(runner, "AtomicCheckpointHook.save_best", [name for name in self.save_best or () if name != "auto"])

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict[str, Any] | None = None,
    ) -> None:
        """Save by iterations, at the end of a step."""
        if self.by_epoch:
            return
        self._is_due |= self.every_n_train_iters(runner, self.interval, self.save_begin)
        self._is_due |= self.save_last and self.is_last_train_iter(runner)
        if self._is_due and not step_is_pending(runner.optim_wrapper):
            self._is_due = False
            runner.logger.info(f"Saving checkpoint at {runner.iter + 1} iterations")
            self._save_checkpoint(runner)

    def after_train(self, runner: Runner) -> None:
        """Save the end of a training that was stopped early."""
        stopped = getattr(runner.train_loop, "stop_training", False)
        if stopped and self.save_last and self._saved_at != runner.iter:
            step = runner.epoch if self.by_epoch else runner.iter
            self._save_checkpoint_with_step(runner, step, {"epoch": runner.epoch, "iter": runner.iter})
        super().after_train(runner)
        for lock in self._locks:
            lock.release()

    def save_between_steps(self, runner: Runner) -> bool:
        """Save a training that ends before its next step, unless the checkpoint of its last one is there.

        By epochs its name has the iteration, too: ``epoch_2_iter_700.pth`` is in the third epoch.

        Returns:
            Whether it is there now: weights that are not finite are not saved.
        """
        if self._saved_at != runner.iter:
            step = f"{runner.epoch}_iter_{runner.iter}" if self.by_epoch else runner.iter
            self._save_checkpoint_with_step(runner, step, {"epoch": runner.epoch, "iter": runner.iter})
        return self._saved_at == runner.iter

    def _save_best_checkpoint(self, runner: Runner, metrics: dict[str, Any]) -> None:
        names = [] if self.save_best is None else self.key_indicators
        if names and not self._is_worth_saving(runner):
            return
        first = next(iter(metrics))
        if "auto" in names and self.rules[0] is None and not has_known_rule(first):
            self._missing.warn_of("auto", f"auto takes the first figure, {first!r}. Set rule to greater or less.")
            return
        if "auto" in names:
            self._init_rule(self.rules, [first])  # as MMEngine does below
            names = self.key_indicators
        if names and keep_comparable(runner.message_hub, names, self.rules):
            self._set_best({name: path_of_best(runner.message_hub, name, names) for name in names})
        absent = [name for name in names if name != "auto" and not is_score(metrics, name)]
        for name in absent:
            self._missing.warn(name, metrics, "No checkpoint is kept as the best by it.")
        before = {name: path_of_best(runner.message_hub, name, names) for name in names}
        self._set_best(dict.fromkeys(names))  # MMEngine would remove them before it has saved the new ones
        super()._save_best_checkpoint(runner, {**metrics, **dict.fromkeys(absent)})
        after = {name: path_of_best(runner.message_hub, name, names) for name in names}
        self._set_best(after)
        self._remove(path for path in before.values() if path not in (None, *after.values()))

    def _set_best(self, paths: dict[str, Any]) -> None:
        """Let MMEngine know the best checkpoints by each figure, in both of its forms."""
        self.best_ckpt_path, self.best_ckpt_path_dict = next(iter(paths.values()), None), paths

    @master_only
    def _remove(self, paths: Iterable[str]) -> None:
        for path in paths:
            if self.file_backend.isfile(path):
                self.file_backend.remove(path)
            shutil.rmtree(shard_folder(path), ignore_errors=True)  # what ranks have written for it

    def _save_checkpoint_with_step(self, runner: Runner, step: int | str, meta: dict[str, Any]) -> None:
        if not self._is_worth_saving(runner):
            return
        outdated = self._update_kept(runner, step)
        self._saved_at = meta["iter"]
        filename = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, filename)
        runner.message_hub.update_info("last_ckpt", self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            filename,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        on_first_rank(lambda: self._point_to(str(self.last_ckpt), runner.work_dir, outdated))

    def _point_to(self, path: str, work_dir: str, outdated: Iterable[str]) -> None:
        """Let the pointer file name a checkpoint that is whole, and remove those that are outdated by it."""
        with unwritable_reported(path):
            AtomicLocalBackend().put(os.fsencode(path), os.path.join(work_dir, "last_checkpoint"))
            self._remove(outdated)

    def _is_worth_saving(self, runner: Runner) -> bool:
        """Ask the other hooks, which may raise; where they let NaN pass, leave good checkpoints as they are."""
        runner.call_hook("before_checkpoint")
        if any(isinstance(hook, LearningFaultsHook) and hook.max_nonfinite_steps for hook in runner.hooks):
            return True  # it has looked
        model = unwrap(runner.model)
        broken = broken_tensors(model) if has_shards(model) else on_first_rank(lambda: broken_tensors(model))
        if broken and self._broken_at != runner.iter:  # the best and the last are one
            self._broken_at = runner.iter
            _log.warning(
                "No checkpoint is written at iteration %d: %d tensors of the model are not finite, the first %s. Those "
                "before it stay.",
                runner.iter,
                len(broken),
                broken[0],
            )
        return not broken

    def _update_kept(self, runner: Runner, step: int | str) -> list[str]:
        """Note ``step`` among the kept checkpoints; return the paths of those that are to go."""
        if self.max_keep_ckpts <= 0 or (self.keep_ckpt_ids and self.keep_ckpt_ids[-1] == step):
            return []
        outdated = [self.keep_ckpt_ids.popleft()] if len(self.keep_ckpt_ids) == self.max_keep_ckpts else []
        self.keep_ckpt_ids.append(step)
        runner.message_hub.update_info("keep_ckpt_ids", list(self.keep_ckpt_ids))
        return [self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(old)) for old in outdated]
