"""Vision-language models of transformers, from a local folder or from a config with random weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten
from typing import Any, Literal

import torch
import transformers
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

from bus_toolkit.errors import CheckpointError, ConfigError
from bus_toolkit.home import expand_home

Dtype = Literal["float32", "bfloat16", "float16"]
_LOCAL = {"local_files_only": True, "trust_remote_code": False}


def load_model(
    *,
    folder: str | None = None,
    config: Mapping[str, Any] | None = None,
    random_weights: bool = False,
    dtype: Dtype = "float32",
) -> Any:
    """Return a vision-language model in evaluation mode.

    Nothing is downloaded and no code of the folder is run.

    Args:
        folder: Local folder with ``config.json`` and safetensors weights.
        config: In place of a folder, what ``config.json`` would hold, ``model_type`` included; weights are random.
        random_weights: Whether the folder's config is all that is read.
        dtype: Of the weights.

    Raises:
        ConfigError: Neither or both of ``folder`` and ``config``, or a config that makes no vision-language model.
        CheckpointError: The folder has no config, or does not have all weights.
    """
    if (folder is None) == (config is None):
        both = "both" if folder is not None else "none"
        raise ConfigError(
            f"model: one of folder and config must be given, got {both}. Name a folder, or give a config."
        )
    kind = getattr(torch, dtype)
    if folder is None:
        model = _random(_config_of(config or {}))
    else:
        path = expand_home(folder)
        settings = _config_in(path)
        model = _random(settings) if random_weights else _with_weights(path, settings, kind)
    return model.to(kind).eval()


def load_processor(folder: str) -> Any:
    """Return what makes a model's arguments of texts and images, from a local folder.

    Raises:
        CheckpointError: The folder has none, or one without a template for conversations.
    """
    path = expand_home(folder)
    try:
        processor = AutoProcessor.from_pretrained(path, **_LOCAL)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise CheckpointError(
            f"model.folder: {path} has no processor that can be read: {shorten(str(error), 200)}. Save that of the "
            "model into it."
        ) from error
    if getattr(processor, "chat_template", None) is None:
        raise CheckpointError(
            f"model.folder: {path} has a {type(processor).__name__} without a template for conversations. Add the "
            "chat_template of the model's authors."
        )
    return processor


def _config_of(config: Mapping[str, Any]) -> Any:
    values = dict(config)
    kind = values.pop("model_type", None)
    try:
        return AutoConfig.for_model(kind, **values)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(
            f"model.config: makes no config of transformers: {shorten(str(error), 200)}. Write what config.json of "
            "such a model holds, with model_type, e.g. qwen2_5_vl."
        ) from error


def _config_in(folder: Path) -> Any:
    if not (folder / "config.json").is_file():
        raise CheckpointError(
            f"model.folder: must hold a config.json, got {str(folder)!r}. Give a local folder in Hugging Face's layout."
        )
    try:
        return AutoConfig.from_pretrained(folder, **_LOCAL)
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"model.folder: {folder}: {shorten(str(error), 200)}. Save the model again.") from error


def _random(settings: Any) -> Any:
    try:
        return AutoModelForImageTextToText.from_config(settings)
    except ValueError as error:
        raise ConfigError(
            f"model: must be a vision-language model of transformers, got model_type {settings.model_type!r}. Name "
            "another, e.g. qwen2_5_vl."
        ) from error


def _with_weights(folder: Path, settings: Any, kind: torch.dtype) -> Any:
    # The argument has had its short name since transformers 4.56.
    name = "dtype" if _version() >= (4, 56) else "torch_dtype"
    try:
        model, report = AutoModelForImageTextToText.from_pretrained(
            folder, config=settings, use_safetensors=True, output_loading_info=True, **{name: kind}, **_LOCAL
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"model.folder: {folder} cannot be read: {shorten(str(error), 200)}. It must hold a vision-language model "
            "as safetensors."
        ) from error
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise CheckpointError(
            f"model.folder: {len(missing)} tensors of a {type(model).__name__} are not in {folder}, the first: "
            f"{missing[0]}. Save the whole model."
        )
    return model


def _version() -> tuple[int, int]:
    major, minor, *_ = transformers.__version__.split(".")
    return int(major), int(minor)
