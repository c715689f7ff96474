"""From a run folder, or a config and a checkpoint, to a model that only predicts."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from bus_toolkit.config import load_config
from bus_toolkit.engine.checkpoint import latest_checkpoint
from bus_toolkit.engine.hooks.training_progress import loaded_progress
from bus_toolkit.engine.vocabulary import with_kept_vocabulary
from bus_toolkit.errors import CheckpointError, ConfigError
from bus_toolkit.home import expand_home
from bus_toolkit.models.build import build_model
from bus_toolkit.models.vlp import VLPModel
from bus_toolkit.weights.files import load_checkpoint_file

_log = logging.getLogger(__name__)


def load_trained(
    source: str | Path, checkpoint: str | Path | None, cfg_options: Sequence[str], device: torch.device
) -> tuple[Any, VLPModel]:
    """Return a loaded config and its model with trained weights, in eval mode and without gradients.

    Args:
        source: A run folder, or a YAML.
        checkpoint: A ``.pth`` or ``.safetensors`` on this machine; ``None`` is the newest one of the run folder.
        cfg_options: ``key=value`` words as in ``--cfg-options``.
        device: The device of the model.

    Raises:
        ConfigError: A source that is neither, a config that is wrong, or one whose model reads no images.
        CheckpointError: No checkpoint, an unreadable one, or weights of another model.
    """
    path, weights = _find(expand_home(source), checkpoint)
    cfg = load_config(path, cfg_options)
    part = dict(cfg.get("model") or {})
    if not part:
        raise ConfigError(f"{path}: model: nothing is there to predict with. Give the config of a training.")
    # As MMEngine's Runner does if the config has it outside of the model.
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
    # A run folder from elsewhere may claim to be trusted, so only an option of the caller counts.
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
                f"Inferencer: {source} names no weights. Give checkpoint (--checkpoint): a .pth or "
                ".safetensors; or name a run folder, whose newest one is taken."
            )
        return (source if source.is_file() else str(source)), expand_home(checkpoint)
    config = source / "config.yaml"
    if not config.is_file():
        raise ConfigError(
            f"Inferencer: a run folder has a config.yaml, got {source} without one. Name the work dir of a training, "
            "or a YAML together with checkpoint (--checkpoint)."
        )
    weights = expand_home(checkpoint) if checkpoint is not None else latest_checkpoint(source)
    if weights is None:
        raise CheckpointError(
            f"Inferencer: no epoch_*.pth or iter_*.pth in {source}. Wait for the first one of the run, or give "
            "checkpoint (--checkpoint)."
        )
    return config, weights


def _load_weights(model: VLPModel, path: Path, *, trusted: bool) -> None:
    """Load weights that fit exactly, but for position embeddings of another image size, which are interpolated."""
    held = load_checkpoint_file(path, trusted=trusted)
    progress = loaded_progress(held)
    if progress is not None:  # the keep ratios with which these weights were validated
        model.set_progress(*progress)
    weights = held.get("state_dict", held)
    state = {str(name).removeprefix("module."): value for name, value in weights.items() if torch.is_tensor(value)}
    own = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    other_shapes = [name for name, value in state.items() if name in own and tuple(value.shape) != own[name]]
    try:
        keys = model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        # Some of the other shapes may be positions, which the backbone interpolates: each is loaded alone to see.
        wrong = [name for name in other_shapes if not _loads(model, name, state[name])]
        if not wrong:
            raise
        first = f"{wrong[0]} with {tuple(state[wrong[0]].shape)} for {own[wrong[0]]}"
        raise _other_model(path, f"{len(wrong)} have another shape, the first: {first}") from error
    differences = {"are missing": keys.missing_keys, "have no place in it": keys.unexpected_keys}
    reasons = [f"{len(names)} {how}, the first: {names[0]}" for how, names in differences.items() if names]
    if reasons:
        raise _other_model(path, "; ".join(reasons))
    # OpenMMLab's own message about it is hidden by ``quiet_hosts``.
    if other_shapes:
        resized = ", ".join(f"{name} {tuple(state[name].shape)} to {own[name]}" for name in other_shapes)
        _log.info("%s: position embeddings are interpolated to the image size of this model: %s", path, resized)


def _loads(model: VLPModel, name: str, tensor: torch.Tensor) -> bool:
    """Return whether the model accepts this tensor, as it is or interpolated."""
    try:
        model.load_state_dict({name: tensor}, strict=False)
    except RuntimeError:
        return False
    return True


def _other_model(path: Path, why: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: it does not fit this model: of its tensors {why}. Use the config.yaml in the work dir of the run "
        "that wrote it."
    )
