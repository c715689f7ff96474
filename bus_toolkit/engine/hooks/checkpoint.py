"""Write checkpoints so that a kill at any moment leaves the previous one whole."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from bus_toolkit.registry import HOOKS
from bus_toolkit.signatures import forwards_to_super

BACKEND = "bus_atomic"


class AtomicLocalBackend(LocalBackend):
    """Local files that appear under their name only when all bytes are on the disk."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write ``obj`` to a temporary name beside ``filepath``, flush it to the disk, rename it."""
        target = Path(filepath)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            with open(temporary, "wb") as file:
                file.write(obj)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


register_backend(BACKEND, AtomicLocalBackend, force=True)


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """Save checkpoints as MMEngine's ``CheckpointHook`` does, atomically; goes into ``default_hooks.checkpoint``.

    MMEngine writes in place and removes outdated checkpoints before it has saved the new one; here the file is renamed
    when it is complete, and removal comes last.

    Args:
        interval: Epochs (or iterations) between two checkpoints; -1 keeps the last one only.
        backend_args: A storage backend of MMEngine for checkpoints that do not lie on this machine.
        **kwargs: Further arguments of MMEngine's ``CheckpointHook``.
    """

    @forwards_to_super()
    def __init__(self, interval: int = -1, backend_args: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(interval=interval, backend_args=backend_args or {"backend": BACKEND}, **kwargs)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict[str, Any]) -> None:
        outdated = self._update_kept(runner, step)
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
        if not is_main_process():
            return
        pointer = os.path.join(runner.work_dir, "last_checkpoint")
        AtomicLocalBackend().put(os.fsencode(self.last_ckpt), pointer)
        for path in outdated:
            if self.file_backend.isfile(path):
                self.file_backend.remove(path)

    def _update_kept(self, runner: Runner, step: int) -> list[str]:
        """Note ``step`` among the kept checkpoints; return the paths of those that are to go."""
        if self.max_keep_ckpts <= 0 or (self.keep_ckpt_ids and self.keep_ckpt_ids[-1] == step):
            return []
        outdated = [self.keep_ckpt_ids.popleft()] if len(self.keep_ckpt_ids) == self.max_keep_ckpts else []
        self.keep_ckpt_ids.append(step)
        runner.message_hub.update_info("keep_ckpt_ids", list(self.keep_ckpt_ids))
        return [self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(old)) for old in outdated]
