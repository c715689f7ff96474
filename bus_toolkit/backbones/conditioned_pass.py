"""The blocks after the shared ones, with the selectors that act before, inside and after them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from bus_toolkit.backbones.adapters.base import TransformerAdapter
from bus_toolkit.backbones.block_access import ViTBlockAccess
from bus_toolkit.backbones.block_passes import attention_half, run_half
from bus_toolkit.backbones.check_tokens import checked_block
from bus_toolkit.backbones.key_bias import key_bias
from bus_toolkit.backbones.own_code import OwnCode
from bus_toolkit.backbones.positions import TokenPositions
from bus_toolkit.backbones.token_state import TokenState
from bus_toolkit.ops.follow_plans import patches_in_tokens
from bus_toolkit.ops.precision import at_least_float32
from bus_toolkit.selectors.base import PatchSelector, Site, decision_of
from bus_toolkit.selectors.view import BlockView
from bus_toolkit.structures import SharedTokens, TextTokens, VisualTokens

Select = Literal["all", "text_free", "none"]
AroundSelection = Callable[[], AbstractContextManager[Any]]


class ConditionedPass:
    """One pass of shared tokens to the end of the backbone, under one text for each image.

    Args:
        adapter: What knows the inside of the blocks.
        selectors: The selectors of the backbone, all of them.
        shared: The tokens after the shared blocks.
        text: The conditioning text of each image, or ``None``.
        select: ``all`` selectors act; ``text_free``: those that read no text; ``none``: no selector.
        around_selection: Opened around each planning and applying of a selection, so that its cost can be measured.
        own_code: Looks at blocks that run by their parts.
        words: bool (B, L), which of the words in the sequence are no padding, where it holds any: they are the last L
            prefix tokens of ``adapter``. Selectors then get them as their text.
    """

    def __init__(
        self,
        adapter: TransformerAdapter,
        selectors: Iterable[PatchSelector],
        *,
        shared: SharedTokens,
        text: TextTokens | None,
        select: Select = "all",
        around_selection: AroundSelection = nullcontext,
        own_code: OwnCode | None = None,
        words: Tensor | None = None,
    ) -> None:
        self._own_code, self._words = own_code, words
        self._adapter, self._selectors = adapter, list(selectors)
        self._shared, self._text, self._select = shared, text, select
        self._around_selection = around_selection
        batch, num_tokens = shared.tokens.shape[:2]
        # No patch has moved yet: patch i is in token i.
        origin_BN = torch.arange(num_tokens - adapter.num_prefix, device=shared.tokens.device).expand(batch, -1)
        self._state = TokenState(shared.tokens, origin_BN, TokenPositions(shared.grid), shared.block_input)

    def run(self, last_block: int) -> VisualTokens:
        """Run up to ``last_block`` (counted from 1); after the backbone's own last block the final norm as well."""
        state, num_prefix = self._state, self._adapter.num_prefix
        # A selector after the last shared block has not acted yet: its decision may depend on the text.
        self._reduce(self._shared.num_blocks, "after_block")
        for block in range(self._shared.num_blocks + 1, last_block + 1):
            self._run_block(block)
        tokens, unread = state.tokens, state.unread(num_prefix)
        if last_block == len(self._adapter.layers):
            tokens = self._finish(unread)
            num_added = tokens.shape[1] - state.tokens.shape[1]
            num_prefix += num_added
            unread = None if unread is None else F.pad(unread, (num_added, 0))
        grid = self._shared.grid
        return VisualTokens(
            tokens,
            num_prefix,
            grid,
            state.selections,
            state.origin,
            state.scores,
            unread=unread,
            scores_are_logits=state.scores_are_logits,
        )

    def _run_block(self, block: int) -> None:
        """Run one block with the selectors before, inside and after it."""
        adapter, state = self._adapter, self._state
        layer = adapter.layers[block - 1]
        state.block_input, state.used = state.tokens, None
        self._reduce(block, "before_block")
        state.block_input = state.tokens
        inside = selector_at(self._selectors, block, "inside_block") is not None
        # The library's own block cannot weigh keys, and may not know where the tokens that are left come from.
        bias = key_bias(adapter.num_prefix, state.key_weights, self._words, state.tokens.shape[1] - adapter.num_prefix)
        if inside or bias is not None or not adapter.runs_whole(state.positions):
            if self._own_code is not None:
                self._own_code.look_at_block(block, layer)
            inputs = (adapter, layer, state.tokens, state.positions, bias)
            mixed, state.used = run_half(layer, attention_half, *inputs)
            state.tokens = checked_block(adapter, block, state.tokens, mixed)
            self._reduce(block, "inside_block")
            widened = run_half(layer, adapter.feed_forward_half, layer, state.tokens)
            state.tokens = checked_block(adapter, block, state.tokens, widened)
        else:
            whole = adapter.run_block(layer, state.tokens, state.positions)
            state.tokens = checked_block(adapter, block, state.tokens, whole)
        self._reduce(block, "after_block")

    def _reduce(self, block: int, site: Site) -> None:
        """Let the selector at this place plan, if there is one, and carry out its plan."""
        selector = selector_at(self._selectors, block, site)
        if selector is None or self._select == "none" or (self._select == "text_free" and selector.needs_text):
            return
        num_prefix = self._adapter.num_prefix
        with self._around_selection():
            decision = decision_of(selector, self._view(block))
            self._state.reduce(decision, block=block, num_prefix=num_prefix, ranks=selector.ranks)

    def _view(self, block: int) -> BlockView:
        """Return what a selector at ``block`` may look at."""
        state, num_prefix = self._state, self._adapter.num_prefix
        assert state.block_input is not None, "a backbone that keeps a selector's place keeps what its block read"
        access = ViTBlockAccess(
            self._adapter,
            block,
            positions=state.positions,
            tokens=state.tokens,
            block_input=state.block_input,
            key_weights=state.key_weights,
            used=state.used,
            words=self._words,
            text=self._text,
        )
        prefix, patches = state.tokens[:, : access.num_image_prefix], state.tokens[:, num_prefix:]
        text = self._text
        if self._words is not None:
            text = replace(access.text(), named_cover=None if text is None else text.named_cover)
        return BlockView(patches, prefix, text, state.origin, block, state.key_weights, access, grid=self._shared.grid)

    def _finish(self, unread: Tensor | None) -> Tensor:
        """Return the tokens as they leave the backbone, after their mean where it has no prefix token."""
        adapter, state = self._adapter, self._state
        tokens = adapter.final_norm(state.tokens)
        if not adapter.pools:
            return tokens
        # While every patch is its own token, the library's own pooling is exact; afterwards tokens count by their size.
        is_reduced = not state.positions.complete or unread is not None
        sizes_BS = patches_in_tokens(state.origin, tokens.shape[1] - adapter.num_prefix) if is_reduced else None
        if sizes_BS is not None and unread is not None:
            # Not 0: if all are hidden, the mean is that of all.
            hidden_BS = unread[:, adapter.num_prefix :] & (sizes_BS > 0)
            sizes_BS = at_least_float32(sizes_BS).masked_fill(hidden_BS, 1e-6)
        return torch.cat([adapter.pool(tokens, sizes_BS).unsqueeze(1), tokens], dim=1)


def selector_at(selectors: Iterable[PatchSelector], block: int, site: Site) -> PatchSelector | None:
    """Return the selector that acts at a place, if there is one."""
    return next((one for one in selectors if one.site == site and block in one.blocks), None)
