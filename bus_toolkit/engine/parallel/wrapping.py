"""The settings of the wrapper around a model that several processes train."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.config import Config
from torch.nn.parallel import DistributedDataParallel

from bus_toolkit.engine.parallel.own_gpu import own_gpu
from bus_toolkit.engine.parallel.phased_ddp import PhasedDDP
from bus_toolkit.errors import ConfigError
from bus_toolkit.registry import MODEL_WRAPPERS

_log = logging.getLogger(__name__)
_SEARCH = ("find_unused_parameters", "static_graph")
_OF_STRATEGIES = ("MMDeepSpeedEngineWrapper", "MMFullyShardedDataParallel", "CollosalAIModelWrapper")
_PHASED, _PLAIN = "bus_toolkit.PhasedDDP", "MMDistributedDataParallel"


def wrapper_settings(given: Mapping[str, Any] | None, cfg: Config) -> dict[str, Any]:
    """Return the ``model_wrapper_cfg`` that MMEngine builds: what the user wrote, and what is missing in it.

    Args:
        given: ``model_wrapper_cfg`` of the config; ``None`` without one.
        cfg: The config, for ``find_unused_parameters``.

    Raises:
        ConfigError: ``model_wrapper_cfg`` names no wrapper, or devices on a machine without a GPU; both places say
            whether to look for unused parameters, and differ; or one does beside a wrapper that decides it.
    """
    settings, search = dict(given or {}), cfg.get("find_unused_parameters")
    if search is not None and settings.setdefault(_SEARCH[0], search) != search:
        raise ConfigError(
            f"find_unused_parameters: got {search}, and {settings[_SEARCH[0]]} in model_wrapper_cfg. Leave one out."
        )
    is_set = any(name in settings for name in _SEARCH)
    name = str(settings.setdefault("type", _PLAIN if is_set else _PHASED)).rpartition(".")[2]
    if name in _OF_STRATEGIES:
        raise ConfigError(
            f"model_wrapper_cfg.type: {name} belongs to a strategy of MMEngine's FlexibleRunner, which saves, "
            "resumes and steps by itself: whole checkpoints, exact resume, momentum copies and steps that are left out "
            "would not hold. Write FSDP2, which spreads the same things, or leave it out for DDP."
        )
    kind = MODEL_WRAPPERS.get(settings["type"])
    if kind is None:
        raise ConfigError(
            f"model_wrapper_cfg.type: no model wrapper named {settings['type']!r}. Leave it out for DDP, or write "
            "FSDP2 for fully sharded training."
        )
    if not issubclass(kind, DistributedDataParallel):
        if search is not None:
            raise ConfigError(f"find_unused_parameters: is a setting of DDP, got it beside {kind.__name__}. Remove it.")
        return settings
    if is_set and issubclass(kind, PhasedDDP):
        raise ConfigError(
            f"model_wrapper_cfg.type: {kind.__name__} decides itself when to look for unused parameters, got "
            f"{' and '.join(name for name in _SEARCH if name in settings)} beside it. Remove that, or write "
            f"type: {_PLAIN}."
        )
    # As MMEngine has it without a config: all ranks compute the same ones, and a queue is many megabytes a step.
    settings.setdefault("broadcast_buffers", False)
    if not torch.cuda.is_available() and settings.get("device_ids"):
        raise ConfigError(
            f"model_wrapper_cfg.device_ids: no GPU is visible, got {settings['device_ids']}. Remove it: each process "
            "gets a GPU of its own where there are some."
        )
    settings.setdefault("device_ids", [own_gpu()] if torch.cuda.is_available() else None)
    _log.info("Model wrapper: %s", settings)
    return settings


def say_unwrapped(given: Mapping[str, Any] | None) -> None:
    """Log that one process wraps nothing, if the config asks for a wrapper.

    It is no error, so that the config of many processes can be tried, tested and resumed by one.

    Args:
        given: ``model_wrapper_cfg`` of the config; ``None`` without one.
    """
    if given:
        kind = given.get("type", _PLAIN)
        _log.info("model_wrapper_cfg: %s takes several processes, got one; the model is not wrapped, nor spread.", kind)
