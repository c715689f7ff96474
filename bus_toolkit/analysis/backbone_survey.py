"""Try every backbone of mmpretrain: the sites where selectors can act, and its tokens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bus_toolkit.analysis.backbone_settings import NEEDED, NOTES, SMALL
from bus_toolkit.backbones.adapters.base import TransformerAdapter
from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from bus_toolkit.errors import BusError, ConfigError
from bus_toolkit.models.build_backbone import build_backbone
from bus_toolkit.registry import MMPRETRAIN, REGISTRIES
from bus_toolkit.signatures import did_you_mean
from bus_toolkit.structures import TextTokens

_SMALL_SIDE = 64
_NOT_TRIED = ("TIMMBackbone",)  # its architecture depends on whether timm is installed
INTRODUCTION = Path(__file__).with_suffix(".txt")


@dataclass(frozen=True)
class SurveyRow:
    """One line of the table, as text; the fields are the columns."""

    backbone: str
    selectors: str
    settings: str = ""
    width: str = ""
    prefix: str = ""
    patch: str = ""
    batch_norm: str = ""
    no_gradient: str = ""
    note: str = ""

    def __str__(self) -> str:
        return f"| {' | '.join(astuple(self))} |"


def names() -> list[str]:
    """Return the names of all backbones that mmpretrain has."""
    from mmpretrain.models import backbones

    return sorted(backbones.__all__)


def chosen(wanted: Sequence[str]) -> list[str]:
    """Return ``wanted``, or all names if it is empty.

    Raises:
        ConfigError: mmpretrain has no backbone of a name.
    """
    known = names()
    problems = [
        f"{name}: mmpretrain has no such backbone.{did_you_mean(name, known)}" for name in wanted if name not in known
    ]
    if problems:
        raise ConfigError(problems)
    return list(wanted) or known


def row_of(name: str) -> SurveyRow:
    """Build the backbone ``name`` on shapes alone, try a small one on numbers, and report the result."""
    note = NOTES.get(name, "")
    if name in _NOT_TRIED:
        return SurveyRow(f"`{name}`", "not tried", note=note)
    needed = NEEDED.get(name, {})
    try:
        with torch.device("meta"):
            vit, adapter = build_backbone({"type": f"{MMPRETRAIN}{name}", **needed})
    except BusError:
        return SurveyRow(f"`{name}`", "refused", note=note)
    down, across = adapter.patch_size
    return SurveyRow(
        f"`{name}`",
        "inside" if adapter.has_blocks else "after",
        ", ".join(f"`{key}: {value}`" for key, value in needed.items()),
        str(adapter.embed_dim),
        str(adapter.num_prefix),
        str(down) if down == across else f"{down} x {across}",
        "yes" if any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in vit.modules()) else "",
        _without_gradient(name),
        note,
    )


def table(rows: Iterable[SurveyRow]) -> Iterator[str]:
    """Yield the lines of registry_configs/BACKBONES.md: the text beside this file, then a line for each backbone."""
    yield from INTRODUCTION.read_text(encoding="utf-8").splitlines()
    yield ""
    columns = [field.name.replace("_", " ") for field in fields(SurveyRow)]
    yield f"| {' | '.join(columns)} |"
    yield f"|{' --- |' * len(columns)}"
    yield from map(str, rows)


def _without_gradient(name: str) -> str:
    """Train a small one for a step; return how many of its parameters got no gradient, or nothing.

    Raises:
        RuntimeError: Numbers of tokens, tokens or gradients are not as expected.
    """
    node = {"type": f"{MMPRETRAIN}{name}", "img_size": _SMALL_SIDE, **NEEDED.get(name, {}), **SMALL.get(name, {})}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vit, adapter = build_backbone(node)
        tokens = _halved(vit, adapter)
    tokens.square().mean().backward()
    gradients = [parameter.grad for parameter in vit.parameters() if parameter.requires_grad]
    present = [gradient for gradient in gradients if gradient is not None]
    if not all(bool(torch.isfinite(tensor).all()) for tensor in (tokens, *present)) or not present:
        raise RuntimeError(f"{name}: tokens or gradients are not finite, or there are none.")
    missing = len(gradients) - len(present)
    return f"{missing} of {len(gradients)}" if missing else ""


def _halved(vit: nn.Module, adapter: TransformerAdapter) -> Tensor:
    """Return the tokens of two images in training mode, half of the patches kept under two texts."""
    width = adapter.embed_dim
    kept: dict[str, Any] = {"type": "TRIPS" if adapter.has_blocks else "TSPS", "blocks": [1], "keep_ratio": 0.5}
    widths = {"embed_dim": width, "text_dim": width}
    selector = REGISTRIES.selectors.build({**kept, "fuse": "none"}, path="model.selectors.0", **widths)
    backbone = TokenReducingBackbone(vit, [selector], adapter=adapter).train()
    text = torch.randn(2, 4, width)
    shared = backbone.forward_shared(torch.randn(2, 3, *adapter.image_size))
    visual = backbone.forward_conditioned(shared, TextTokens(text, text[:, 0], torch.ones(2, 4).bool()))
    expected = visual.num_prefix + max(1, backbone.grid[0] * backbone.grid[1] // 2)
    if visual.grid != backbone.grid or visual.embeds.shape != (2, expected, width):
        raise RuntimeError(
            f"{type(vit).__name__}: half of {backbone.grid} patches are {tuple(visual.embeds.shape)} tokens."
        )
    return visual.embeds
