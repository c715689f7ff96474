"""Position embeddings of one grid of patches for another."""

from __future__ import annotations

import torch

from bus_toolkit.ops.position_table import AbsolutePositions
from tests.parity.comparison import Comparison, Measured

GRIDS = (((14, 14), (24, 24)), ((14, 14), (16, 16)), ((24, 24), (14, 14)), ((7, 9), (10, 6)), ((16, 16), (1, 1)))
WIDTH = 16


def _cases(antialias: bool = False) -> list[tuple[torch.Tensor, torch.Tensor, tuple[int, int], tuple[int, int]]]:
    """Return tables, ours for the new grid, and both grids."""
    cases = []
    for seed, (old, new) in enumerate(GRIDS):
        table = torch.randn(1, 1 + old[0] * old[1], WIDTH, generator=torch.Generator().manual_seed(seed))
        own = torch.zeros(1, 1 + new[0] * new[1], WIDTH)
        cases.append((table, AbsolutePositions("pos", new, 1, antialias=antialias).fit(table, own, old), old, new))
    return cases


def _timm(antialias: bool) -> Measured:
    from timm.layers import resample_abs_pos_embed

    return Measured.numbers(
        (ours, resample_abs_pos_embed(table, list(new), list(old), 1, antialias=antialias))
        for table, ours, old, new in _cases(antialias)
    )


def _mmpretrain() -> Measured:
    from mmpretrain.models.utils import resize_pos_embed

    return Measured.numbers(
        (ours, resize_pos_embed(table, old, new, "bicubic", 1)) for table, ours, old, new in _cases()
    )


def _transformers() -> Measured:
    import transformers as hf

    pairs = []
    for table, ours, old, new in _cases():
        if old[0] == old[1]:  # it takes the old grid to be square
            config = hf.ViTConfig(hidden_size=WIDTH, num_attention_heads=2, image_size=16 * old[0], patch_size=16)
            embeddings = hf.models.vit.modeling_vit.ViTEmbeddings(config)
            embeddings.position_embeddings.data = table
            tokens = torch.zeros(1, 1 + new[0] * new[1], WIDTH)
            theirs = embeddings.interpolate_pos_encoding(tokens, 16 * new[0], 16 * new[1])
            pairs.append((ours, theirs.detach()))
    return Measured.numbers(pairs)


def _open_clip() -> Measured:
    from types import SimpleNamespace

    from open_clip.model import resize_pos_embed

    pairs = []
    for table, _, old, new in _cases():
        if old[0] == old[1]:
            visual = SimpleNamespace(grid_size=new)
            state = {"visual.positional_embedding": table[0].clone()}
            resize_pos_embed(state, SimpleNamespace(visual=visual), antialias=False)
            own = torch.zeros(1 + new[0] * new[1], WIDTH)
            ours = AbsolutePositions("pos", new, others=1).fit(table[0], own, old)
            pairs.append((ours, state["visual.positional_embedding"]))
    return Measured.numbers(pairs)


COMPARISONS = (
    Comparison("positions, bicubic", "onedl-mmpretrain", _mmpretrain, 1e-6),
    Comparison("positions, bicubic", "transformers", _transformers, 1e-5),
    Comparison("positions, bicubic", "open-clip-torch", _open_clip, 1e-6),
    Comparison("positions, bicubic", "timm", lambda: _timm(antialias=False), 1e-6),
    Comparison("positions of timm's towers, with antialias", "timm", lambda: _timm(antialias=True), 1e-6),
)
