"""A trained model in one line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from bus_toolkit.inference.inferencer import Inferencer


def from_pretrained(
    source: str | Path,
    *,
    device: str | torch.device | None = None,
    cfg_options: Sequence[str] = (),
    batch_size: int = 32,
) -> Inferencer:
    """Return a trained model that can be asked: an :class:`~bus_toolkit.Inferencer`, whose ``model`` is the bare one.

    Args:
        source: A folder that ``save_pretrained`` has written, a run folder, or ``hf-hub:OWNER/NAME`` (with
            ``@REVISION``, a branch, tag or commit) for one on Hugging Face's hub, which needs the extra ``hub``. No
            other name is looked up anywhere.
        device: Such as ``cuda:1``; ``None`` is a GPU, if there is one.
        cfg_options: ``key=value`` words as in ``--cfg-options``.
        batch_size: Images, or pairs in re-ranking, at a time.

    Raises:
        ConfigError: Nothing is there, or a wrong config or option.
        CheckpointError: Files that are not those that were saved, or weights of another model.
        PluginError: A plugin whose parts it has is not installed.
    """
    return Inferencer(source, device=device, cfg_options=cfg_options, batch_size=batch_size)
