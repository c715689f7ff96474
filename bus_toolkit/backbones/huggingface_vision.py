"""Vision towers in Hugging Face's layout, from a local folder or from nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from textwrap import shorten
from typing import Any

from torch import nn

from bus_toolkit.backbones.adapters import known_classes
from bus_toolkit.errors import CheckpointError, ComponentError
from bus_toolkit.home import expand_home
from bus_toolkit.signatures import Signature, check_arguments, did_you_mean, signature_of
from bus_toolkit.weights.reading import read_tensors
from bus_toolkit.weights.tower_names import in_names_of

_PATH = "model.backbone"


def huggingface_vision(
    *,
    model: str,
    folder: str | None = None,
    config: Mapping[str, Any] | None = None,
    img_size: int | Sequence[int] | None = None,
) -> nn.Module:
    """Build a vision tower of transformers with fused attention (``HuggingFaceVision``). Goes into ``model.backbone``.

    Nothing is downloaded and no code of a folder is run. A folder of a whole CLIP or SigLIP works; its text side is
    left out. Tokens leave as the library's ``last_hidden_state``, with its ``pooler_output`` in front where that is
    more than the first of them (CLIP, SigLIP): see ``adapters/huggingface_clip.py``.

    Images must be normalised as the tower was trained: ``mean`` and ``std`` of ``model.data_preprocessor`` are
    ``image_mean`` and ``image_std`` of the folder's ``preprocessor_config.json``, times 255 (CLIP, SigLIP and DINOv2
    all have other ones).

    Args:
        model: ``ViTModel``, ``CLIPVisionModel``, ``SiglipVisionModel``, ``Dinov2Model`` or
            ``Dinov2WithRegistersModel``.
        folder: Local folder with ``config.json`` and weights, ``.safetensors`` or, read as weights only, ``.bin``.
        config: Without a folder: entries of its configuration (``hidden_size``, ``image_size``, ...); weights start at
            random.
        img_size: Pixels of the images, one number or height and width; other than the tower's own, position embeddings
            are interpolated in each pass.

    Raises:
        ComponentError: Another class, neither or both of folder and config, or a configuration that cannot be used.
        CheckpointError: The folder's weights cannot be read or do not make up the tower.
    """
    if model not in known_classes("transformers"):
        known = known_classes("transformers")
        raise ComponentError(
            f"{_PATH}.model: no vision tower {model!r} is known.{did_you_mean(model, known)} Use one of "
            f"{', '.join(known)}."
        )
    if (folder is None) == (config is None):
        raise ComponentError(
            f"{_PATH}: needs either folder or config, got {'neither' if folder is None else 'both'}. Give a folder "
            "with weights, or a config to start at random."
        )
    import transformers

    cls = getattr(transformers, model)
    options = {"add_pooling_layer": False} if model == "ViTModel" else {}  # a classifier's; nothing would read it
    vit = _random(cls, config, options) if folder is None else _from_folder(cls, expand_home(folder), options)
    for name, parameter in vit.named_parameters():
        if name.endswith("mask_token"):  # of masked training; it stays in the state dict, and DDP does not wait for it
            parameter.requires_grad_(False)
    if img_size is not None:
        vit.input_size = (img_size, img_size) if isinstance(img_size, int) else (img_size[0], img_size[1])
    return vit


def _random(cls: Any, config: Mapping[str, Any] | None, options: Mapping[str, Any]) -> Any:
    values = dict(config or {})
    known = Signature(signature_of(cls.config_class).arguments, is_open=False)
    problems = check_arguments(cls.config_class.__name__, known, values, f"{_PATH}.config")
    if problems:
        raise ComponentError(problems)
    settings = cls.config_class(**values)
    width, heads = settings.hidden_size, settings.num_attention_heads
    if width % heads:  # transformers 5 would build narrower heads without a word
        raise ComponentError(
            f"{_PATH}.config: hidden_size must be a multiple of num_attention_heads, got {width} and {heads}. Change "
            "one of them."
        )
    settings._attn_implementation = "sdpa"
    return cls(settings, **options)


def _from_folder(cls: Any, folder: Path, options: Mapping[str, Any]) -> Any:
    if not (folder / "config.json").is_file():
        raise ComponentError(
            f"{_PATH}.folder: it must hold a config.json, got {str(folder)!r}. Give a local folder in Hugging Face's "
            "layout."
        )
    try:
        vit, report = cls.from_pretrained(
            folder,
            attn_implementation="sdpa",
            local_files_only=True,
            weights_only=True,
            output_loading_info=True,
            **options,
        )
    except (OSError, ValueError, RuntimeError, UnpicklingError) as error:
        reason = shorten(str(error), 200)
        raise CheckpointError(
            f"{_PATH}.folder: {cls.__name__} cannot be read from {str(folder)!r} ({reason}). It must hold weights of "
            "that class as .safetensors or .bin."
        ) from error
    vit.float()  # transformers 5 keeps the type of the file
    missing = sorted(report["missing_keys"]) and _load_under_other_names(vit, folder)
    if missing:
        raise CheckpointError(
            f"{_PATH}.folder: {len(missing)} tensors of a {cls.__name__} are missing in its weights, got none for "
            f"{', '.join(missing[:3])}. Name the class that the folder was made from as model."
        )
    vit.train()  # as every other module starts; from_pretrained leaves it in evaluation mode
    return vit


def _load_under_other_names(vit: Any, folder: Path) -> list[str]:
    """Load weights that another version of transformers named; or return what they do not have, and load nothing."""
    own = vit.state_dict()
    tensors = in_names_of(read_tensors(folder).tensors, own)
    missing = sorted(own.keys() - tensors.keys())
    if not missing:
        vit.load_state_dict({name: tensors[name] for name in own})
    return missing
