"""From a run folder, or a config and a checkpoint, to a model that only predicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from bus_toolkit.config import load_config
from bus_toolkit.engine.checkpoint import latest_checkpoint
from bus_toolkit.engine.vocabulary import with_kept_vocabulary
from bus_toolkit.errors import CheckpointError, ConfigError
from bus_toolkit.models.build import build_model
from bus_toolkit.models.vlp import VLPModel
from bus_toolkit.weights.files import load_checkpoint_file


def load_trained(
    source: str | Path, checkpoint: str | Path | None, cfg_options: Sequence[str], device: torch.device
) -> tuple[Any, VLPModel]:
    """Return a loaded config and its model with trained weights, in eval mode and without gradients.

    Args:
        source: A run folder, or a YAML.
        checkpoint: A ``.pth`` or ``.safetensors`` on this machine; ``None`` is the newest one of the run folder.
        cfg_options: ``key=value`` words as in ``--cfg-options``.
        device: Where the model goes.

    Raises:
        ConfigError: A source that is neither, a config that is wrong, or one whose model reads no images.
        CheckpointError: No checkpoint, an unreadable one, or weights of another model.
    """
    path, weights = _find(Path(source).expanduser(), checkpoint)
    cfg = load_config(path, cfg_options)
    part = dict(cfg.get("model") or {})
    if not part:
        raise ConfigError(f"{path}: model: nothing is there to predict with. Give the config of a training.")
    # As MMEngine's Runner does where the config has it outside of the model.
    if cfg.get("data_preprocessor") is not None:
        part.setdefault("data_preprocessor", cfg.data_preprocessor)
    if isinstance(part.get("tokenizer"), Mapping):
        part["tokenizer"] = with_kept_vocabulary(part["tokenizer"], weights)
    model = build_model(part)
    if not isinstance(model, VLPModel):
        raise ConfigError(
            f"{path}: model.type: must read images (VLPModel), got {type(model).__name__}. Give the run of such a "
            "model."
        )
    # A run folder from elsewhere may say that it is to be trusted: only the caller may say so.
    trusted = any(str(option).split("=")[0].strip() == "trusted_checkpoints" for option in cfg_options)
    _load_weights(model, weights, trusted=trusted and bool(cfg.get("trusted_checkpoints", False)))
    # Training alone follows the momentum copies; predictions never ask for them.
    model.momentum = None
    return cfg, model.to(device).eval().requires_grad_(False)


def _find(source: Path, checkpoint: str | Path | None) -> tuple[Path | str, Path]:
    """Return the config and the checkpoint."""
    if not source.is_dir():
        if checkpoint is None:
            raise CheckpointError(
                f"Inferencer: {source} says nothing of its weights. Give checkpoint (--checkpoint): a .pth or "
                ".safetensors; or name a run folder, whose newest one is taken."
            )
        return (source if source.is_file() else str(source)), Path(checkpoint).expanduser()
    config = source / "config.yaml"
    if not config.is_file():
        raise ConfigError(
            f"Inferencer: a run folder has a config.yaml, got {source} without one. Name the work dir of a training, "
            "or a YAML together with checkpoint (--checkpoint)."
        )
    weights = Path(checkpoint).expanduser() if checkpoint is not None else latest_checkpoint(source)
    if weights is None:
        raise CheckpointError(
            f"Inferencer: no epoch_*.pth or iter_*.pth in {source}. Wait for the first one of the run, or give "
            "checkpoint (--checkpoint)."
        )
    return config, weights


def _load_weights(model: VLPModel, path: Path, *, trusted: bool) -> None:
    """Load weights that fit exactly, but for position embeddings of another image size, which are interpolated."""
    held = load_checkpoint_file(path, trusted=trusted)
    weights = held.get("state_dict", held)
    state = {str(name).removeprefix("module."): value for name, value in weights.items() if torch.is_tensor(value)}
    try:
        found = model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:] if line.strip()]
        raise _other_model(path, f"{len(lines)} tensors have another shape, the first: {lines[0][:200]}") from error
    if found.missing_keys or found.unexpected_keys:
        reasons = [
            f"{len(names)} {what}, the first: {names[0]}"
            for what, names in (("are missing", found.missing_keys), ("have no place in it", found.unexpected_keys))
            if names
        ]
        raise _other_model(path, "; ".join(reasons))


def _other_model(path: Path, why: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: it does not fit this model: of its tensors {why}. Use the config.yaml in the work dir of the run "
        "that wrote it."
    )
