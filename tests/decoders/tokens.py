"""Visual tokens that the tests of the decoders share, and what all of these decoders promise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from bus_toolkit.structures import TextTokens, VisualTokens
from tests.tiny import WIDTH, text_tokens


def grid_tokens(
    grid: tuple[int, int] = (4, 4), dropped: Sequence[Sequence[int]] = ((), ()), num_prefix: int = 1, seed: int = 0
) -> VisualTokens:
    """Return the tokens of a selector that dropped these patches of each sample (as many in each)."""
    total = grid[0] * grid[1]
    generator = torch.Generator().manual_seed(seed)
    embeds = torch.randn(len(dropped), num_prefix + total - len(dropped[0]), WIDTH, generator=generator)
    origin = torch.full((len(dropped), total), -1)
    for row, gone in enumerate(dropped):
        kept = [patch for patch in range(total) if patch not in gone]
        origin[row, kept] = torch.arange(len(kept))
    return VisualTokens(embeds, num_prefix, grid, origin=origin)


def converted(visual: VisualTokens, dtype: torch.dtype) -> VisualTokens:
    return replace(visual, embeds=visual.embeds.detach().to(dtype))


def converted_text(text: TextTokens, dtype: torch.dtype) -> TextTokens:
    return TextTokens(text.embeds.to(dtype), text.pooled.to(dtype), text.attention_mask)


def check_promises(decoder: nn.Module, visual: VisualTokens, num_queries: int) -> None:
    """Check the output's form, gradients, independence of batch mates, precisions and compilation."""
    text = text_tokens(visual.embeds.shape[0])
    leaf = replace(visual, embeds=visual.embeds.clone().requires_grad_())
    out = decoder(leaf, text)
    assert out.embeds.shape == (visual.embeds.shape[0], 1 + num_queries, WIDTH)
    assert (out.num_prefix, out.grid, out.origin, out.scores) == (1, visual.grid, None, None)
    out.embeds.square().mean().backward()
    assert leaf.embeds.grad is not None and torch.isfinite(leaf.embeds.grad).all()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in decoder.parameters())
    assert visual.origin is not None
    for row in range(visual.embeds.shape[0]):
        alone = replace(visual, embeds=visual.embeds[row : row + 1], origin=visual.origin[row : row + 1])
        own = decoder(alone, text.index(slice(row, row + 1))).embeds
        torch.testing.assert_close(out.embeds[row : row + 1], own, atol=1e-5, rtol=1e-5)
    compiled = torch.compile(decoder, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(visual, text).embeds, out.embeds, atol=1e-5, rtol=1e-5)
    torch._dynamo.reset()
    for dtype, tolerance in ((torch.float64, 1e-4), (torch.bfloat16, 0.2)):
        other = decoder.to(dtype)(converted(visual, dtype), converted_text(text, dtype)).embeds
        assert other.dtype == dtype
        torch.testing.assert_close(other.float(), out.embeds, atol=tolerance, rtol=tolerance)
    decoder.float()
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        assert torch.isfinite(decoder(visual, text).embeds).all()
