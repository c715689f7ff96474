"""From a run folder, or a config and a checkpoint, to a model that only predicts."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from bus_toolkit.config import find_config, load_config, load_config_text
from bus_toolkit.config.overrides import parse_overrides
from bus_toolkit.engine.checkpoint import latest_checkpoint
from bus_toolkit.engine.hooks.training_progress import loaded_progress
from bus_toolkit.engine.saved_config import model_differences, saved_config_text
from bus_toolkit.engine.vocabulary import words_of_checkpoint
from bus_toolkit.errors import CheckpointError, ConfigError, describe
from bus_toolkit.home import expand_home
from bus_toolkit.models.build import build_model
from bus_toolkit.models.momentum import copied_parts
from bus_toolkit.models.vlp import VLPModel
from bus_toolkit.pretrained.hub import downloaded, hub_hint, is_hub_name
from bus_toolkit.pretrained.layout import is_saved_model
from bus_toolkit.pretrained.reading import read_saved
from bus_toolkit.runs_below import runs_below
from bus_toolkit.signatures import did_you_mean
from bus_toolkit.weights.files import load_checkpoint_file
from bus_toolkit.weights.load_rule import LoadRule
from bus_toolkit.weights.reading import source_of
from bus_toolkit.weights.whole import load_whole
from bus_toolkit.weights.words import words_of

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
    if not isinstance(source, str | os.PathLike):
        raise ConfigError(
            f"Inferencer: must be the path of a run folder or of a YAML file, got {describe(source)}. A model in "
            "memory answers itself: model.encode, model.similarity, model.match."
        )
    source = downloaded(str(source)) if is_hub_name(source) else source
    folder = expand_home(source) if expand_home(source).is_dir() else None
    if folder is not None and is_saved_model(folder):
        _refuse_checkpoint(folder, checkpoint)
        cfg, weights = read_saved(folder, cfg_options)
        return cfg, _model(source, cfg, weights, load_checkpoint_file(weights), device)
    weights = _find(folder, source, checkpoint)
    # A run folder from elsewhere may claim to be trusted, so only an option of the caller counts.
    trusted = dict(parse_overrides(cfg_options)).get("trusted_checkpoints") is True
    held = load_checkpoint_file(weights, trusted=trusted)
    cfg = _config(folder, source, weights, held, cfg_options)
    return cfg, _model(source, cfg, weights, held, device)


def _model(source: str | Path, cfg: Any, weights: Path, held: Mapping[str, Any], device: torch.device) -> VLPModel:
    """Return the model of a config with the weights of a checkpoint in memory."""
    part = dict(cfg.get("model") or {})
    if not part:
        raise ConfigError(f"{source}: model: nothing is there to predict with. Give the config of a training.")
    # As MMEngine's Runner does if the config has it outside of the model.
    if cfg.get("data_preprocessor") is not None:
        part.setdefault("data_preprocessor", cfg.data_preprocessor)
    with words_of_checkpoint(part.get("tokenizer") or {}, weights, held) as tokenizer:
        model = build_model({**part, "tokenizer": tokenizer} if tokenizer else part)
    if not isinstance(model, VLPModel):
        raise ConfigError(
            f"{source}: model.type: must be VLPModel, got {type(model).__name__}. What asks single images, saves and "
            "exports models works by the heads of a VLPModel, which this one does not have. `bus-toolkit test` asks it "
            "about a table of questions, `bus-toolkit report` shows its training; to share it, copy its run folder (of "
            "a CausalVLM to_llava writes the files of a LLaVA, see registry_configs/LANGUAGE_MODELS.md)."
        )
    if model.backbone.needs_boxes:
        raise ConfigError(
            f"{source}: model.selectors: a selector reads the boxes that a text names, which images to predict for do "
            "not have. Give the run of another model."
        )
    _load_weights(model, held, weights)
    # Training alone follows the momentum copies; predictions never ask for them.
    model.momentum = None
    return model.to(device).eval().requires_grad_(False)


def _refuse_checkpoint(folder: Path, checkpoint: str | Path | None) -> None:
    if checkpoint is not None:
        raise CheckpointError(
            f"Inferencer: {folder} is a saved model with weights of its own, got checkpoint (--checkpoint) "
            f"{checkpoint}. Leave it out, or name the run folder."
        )


def _find(folder: Path | None, source: str | Path, checkpoint: str | Path | None) -> Path:
    """Return the checkpoint; ``folder`` is the run folder, if ``source`` is one."""
    if checkpoint is not None:
        return expand_home(checkpoint)
    if folder is None and Path(source).suffix in (".pth", ".safetensors"):
        raise CheckpointError(
            f"Inferencer: {source} is no run folder and no config. Give the folder or the config of its training, and "
            f"{source} as checkpoint (--checkpoint)."
        )
    if folder is None:
        _refuse_missing(source)
        raise CheckpointError(
            f"Inferencer: {source} names no weights. Give checkpoint (--checkpoint): a .pth or "
            ".safetensors; or name a run folder, whose newest one is taken."
        )
    weights = latest_checkpoint(folder)
    if weights is None and not (folder / "config.yaml").is_file():
        raise _no_config(folder)
    if weights is None:
        raise CheckpointError(
            f"Inferencer: no epoch_*.pth or iter_*.pth in {folder}. Wait for the first one of the run, or give "
            "checkpoint (--checkpoint)."
        )
    return weights


def _refuse_missing(source: str | Path) -> None:
    """Refuse the name of a run folder that is not there.

    Raises:
        ConfigError: No config has that name either.
    """
    try:
        find_config(source)
    except ConfigError as error:
        place = expand_home(source)
        hint = did_you_mean(place.name, (path.name for path in place.parent.glob("*/")))
        raise ConfigError(
            f"Inferencer: there is neither a run folder nor a config {source}.{hint} Give the work dir of a training, "
            f"with its epoch_*.pth, or a folder of save_pretrained.{hub_hint(source)}"
        ) from error


def _config(
    folder: Path | None, source: str | Path, weights: Path, held: Mapping[str, Any], cfg_options: Sequence[str]
) -> Any:
    """Return the config of a YAML; of a run folder that in its checkpoint, which no later run replaces."""
    saved = saved_config_text(held)
    if folder is None:
        cfg = load_config(expand_home(source) if expand_home(source).is_file() else source, cfg_options)
        _compare(saved, cfg, weights, "The values here are used.")
        return cfg
    file = folder / "config.yaml"
    if saved is not None and weights.resolve().parent == folder.resolve():
        if file.is_file():
            _compare(saved, load_config(file), weights, f"Here is {file}, which is not used.")
        return load_config_text(saved, f"{weights}: its config", cfg_options)
    if not file.is_file():
        raise _no_config(folder)
    cfg = load_config(file, cfg_options)
    _compare(saved, cfg, weights, f"The values here, of {file}, are used.")
    return cfg


def _compare(saved: str | None, cfg: Any, weights: Path, which: str) -> None:
    differences = model_differences(saved, cfg, weights) if saved is not None else ""
    if differences:
        _log.warning("%s: was trained with another model section: %s. %s", weights, differences, which)


def _no_config(folder: Path) -> ConfigError:
    return ConfigError(
        f"Inferencer: a run folder has a config.yaml, got {folder} without one. Name the work dir of a training, or a "
        f"YAML together with checkpoint (--checkpoint).{runs_below(folder)}"
    )


def _load_weights(model: VLPModel, held: Mapping[str, Any], path: Path) -> None:
    """Load weights that fit exactly, but for position embeddings of another image size, which are interpolated."""
    progress = loaded_progress(held)
    if progress is not None:  # the keep ratios with which these weights were validated
        model.set_progress(*progress)
    rule = LoadRule("evaluate", words=words_of(model.tokenizer), copies=copied_parts(model))
    report = load_whole(model, source_of(held, str(path)), rule)
    # OpenMMLab's own message about it is hidden by ``quiet_hosts``.
    if report.resized:
        resized = ", ".join(report.resized)
        _log.info("%s: position embeddings are interpolated to the image size of this model: %s", path, resized)
