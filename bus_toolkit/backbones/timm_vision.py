"""Vision transformers of timm, by the names that timm gives them."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any

from torch import nn

from bus_toolkit.backbones.adapters import adapter_of
from bus_toolkit.errors import CheckpointError, ComponentError, Problem
from bus_toolkit.home import expand_home
from bus_toolkit.signatures import did_you_mean

_PATH = "model.backbone"
# What would fetch weights, or build something else than the transformer itself.
_NOT_HERE = ("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "features_only", "use_naflex")


def timm_vision(
    *,
    model: str,
    checkpoint: str | None = None,
    img_size: int | Sequence[int] | None = None,
    drop_path_rate: float = 0.0,
    settings: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Build a vision transformer of timm without its classifier (``TimmVision``). Goes into ``model.backbone``.

    Needs the extra ``timm``. Nothing is downloaded. Tokens leave as from timm's ``forward_features``, with its pooled
    output in front where that is not the class token: see ``adapters/timm.py``.

    Images must be normalised as the transformer was trained: ``mean`` and ``std`` of ``model.data_preprocessor`` are
    those of timm's ``pretrained_cfg`` for the checkpoint, times 255 (many have 0.5, not ImageNet's).

    Args:
        model: Its name, such as ``vit_base_patch16_224``.
        checkpoint: Local ``.safetensors``, or a file of torch that is read as weights only; in timm's keys or in any
            that timm converts. ``None`` starts at random.
        img_size: Pixels, one number or height and width; position embeddings of a checkpoint are interpolated to it.
        drop_path_rate: Stochastic depth, growing from 0 to this.
        settings: Further arguments of ``timm.create_model``.

    Raises:
        ComponentError: timm is not installed, has no such model, or one that no adapter knows.
        CheckpointError: The checkpoint cannot be read or does not make up the model.
    """
    try:
        import timm
    except ImportError as error:
        raise ComponentError(
            f"{_PATH}: TimmVision needs timm, which is not installed, got model {model!r}. Install it: pip install "
            "'bus_toolkit[timm]'"
        ) from error
    if ":" in model or not timm.is_model(model):
        names = timm.list_models(module="vision_transformer") + timm.list_models(module="eva")
        raise ComponentError(f"{_PATH}.model: timm has no model {model!r}.{did_you_mean(model, names)}")
    refused = sorted(set(settings or {}).intersection(_NOT_HERE))
    if refused:
        raise ComponentError(
            f"{_PATH}.settings: TimmVision builds the plain transformer and downloads nothing, got "
            f"{', '.join(refused)}. Give local weights as checkpoint."
        )
    sizes = {} if img_size is None else {"img_size": img_size}
    values = {"num_classes": 0, "drop_path_rate": drop_path_rate, **sizes, **(settings or {})}
    try:
        vit = timm.create_model(model, pretrained=False, **values)
    except TypeError as error:
        text = f"timm does not build {model} with {dict(settings or {})}: {error}. Write arguments of timm's class."
        raise ComponentError(Problem(f"{_PATH}.settings", text)) from error
    adapter_of(vit)  # says now what it cannot take apart
    if checkpoint is not None:
        _load(vit, expand_home(checkpoint))
    # MMEngine's Runner asks a model to initialise itself; timm would do it again, over what was just loaded.
    vit.init_weights = _keep_weights
    # timm lays out the grid of rotary positions on the CPU in each pass, and copies it to the device.
    vit.waits_for_device = getattr(vit, "rope", None) is not None
    return vit


def _keep_weights() -> None:
    """Do nothing."""


def _load(vit: Any, path: Path) -> None:
    """Load a checkpoint the way timm itself does, without its classifier.

    Raises:
        CheckpointError: It cannot be read, or something is missing.
    """
    from timm.models import eva, load_state_dict, vision_transformer

    setting = f"{_PATH}.checkpoint"
    if not path.is_file():
        raise CheckpointError(f"{setting}: no such file, got {str(path)!r}. Give the path of local weights.")
    home = eva if isinstance(vit, eva.Eva) else vision_transformer
    try:
        weights = home.checkpoint_filter_fn(load_state_dict(str(path), weights_only=True), vit)
        own = vit.state_dict()
        missing = sorted(own.keys() - weights.keys())
        if not missing:
            vit.load_state_dict({name: weights[name] for name in own})
    except (OSError, RuntimeError, ValueError, KeyError, AttributeError, EOFError, pickle.UnpicklingError) as error:
        reason = shorten(str(error), 200)
        raise CheckpointError(
            f"{setting}: not weights that fit this model, got {str(path)!r} ({reason}). Allowed are .safetensors and "
            "files of torch that hold tensors only. Use the checkpoint of this very model."
        ) from error
    if missing:
        raise CheckpointError(
            f"{setting}: {len(missing)} of {len(own)} tensors are missing, got none for {', '.join(missing[:3])}. Use "
            "the checkpoint of this very model."
        )
