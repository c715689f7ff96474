"""The host that runs a vision transformer and lets selectors reduce its tokens between blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bus_toolkit.backbones.adapters import adapter_of
from bus_toolkit.backbones.adapters.base import States, TransformerAdapter
from bus_toolkit.backbones.block_access import ViTBlockAccess, key_bias
from bus_toolkit.backbones.block_passes import attention_half, run_half
from bus_toolkit.backbones.positions import TokenPositions
from bus_toolkit.errors import ComponentError
from bus_toolkit.ops.token_plan import TokenPlan, apply_plan, carry_weights, compose, patches_in_tokens
from bus_toolkit.selectors.base import PatchSelector, Site
from bus_toolkit.selectors.view import BlockView
from bus_toolkit.structures import Decision, Selection, SharedTokens, TextTokens, VisualTokens

Select = Literal["all", "text_free", "none"]


@dataclass
class TokenState:
    """Tokens on their way through the blocks, and what has become of the original patches."""

    tokens: Tensor
    origin: Tensor
    positions: TokenPositions
    text: TextTokens | None
    select: Select
    block_input: Tensor | None = None
    key_weights: Tensor | None = None
    used: States | None = None
    scores: Tensor | None = None
    selections: list[Selection] = field(default_factory=list)


class TokenReducingBackbone(nn.Module):
    """Run a vision transformer whose selectors shorten the sequence on the way.

    The order is: patches and prefix tokens with position embeddings; blocks up to the first selector
    (``forward_shared``, which no text can change); the rest under a condition (``forward_conditioned``); final norm.
    With no selector, or with keep_ratio 1, the result is the plain transformer's, bit for bit.

    State dicts of the bare transformer load into the host without renaming; position embeddings of another image size
    are interpolated.

    Args:
        vit: A built transformer that an adapter knows (``backbones/adapters``).
        selectors: Selectors with the blocks they sit at, at most one a block.
        adapter: What knows the inside of ``vit``, where it is not to be looked up.

    Attributes:
        adapter: What knows the inside of ``vit``; holds no weights.
        num_prefix: Prefix tokens P inside the blocks; where the library pools a global token from the others behind the
            last block, that one leaves in front of them, so that there is one more.

    Raises:
        ComponentError: No adapter knows the transformer.
        ValueError: A selector names a block that does not exist, that another selector has, or where it cannot sit.
    """

    vit: Any
    selectors: Any

    def __init__(
        self, vit: nn.Module, selectors: Sequence[PatchSelector] = (), *, adapter: TransformerAdapter | None = None
    ) -> None:
        super().__init__()
        self.vit = vit
        self.adapter = adapter or adapter_of(vit)
        self.selectors = nn.ModuleList(selectors)
        self.embed_dim = self.adapter.embed_dim
        self.num_blocks = len(self.adapter.layers)
        self.num_prefix = self.adapter.num_prefix
        # Opened around each planning and applying of a selection: by this its cost can be measured.
        self.around_selection: Callable[[], AbstractContextManager[Any]] = nullcontext
        _check_blocks(selectors, self.num_blocks)
        _check_sites(selectors, self.adapter)
        self._register_load_state_dict_pre_hook(self._read_bare_weights)

    @property
    def needs_text(self) -> bool:
        """Whether any selector reads the text, so that different texts need different passes."""
        return any(selector.needs_text for selector in self.selectors)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels that the transformer was built for."""
        return self.adapter.image_size

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches of such an image."""
        (height, width), (down, across) = self.adapter.image_size, self.adapter.patch_size
        return height // down, width // across

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.vit.parameters()).device

    @property
    def num_shared_blocks(self) -> int:
        """Number of blocks that run before the first selector and are shared by all conditions."""
        sites = [block - int(s.site != "after_block") for s in self.selectors for block in s.blocks]
        return min(sites, default=self.num_blocks)

    @property
    def num_scored_blocks(self) -> int:
        """Number of blocks that must run for every supervised selector to have given its scores."""
        return max((max(s.blocks) for s in self.selectors if s.supervised), default=0)

    def set_progress(self, epoch: float) -> None:
        """Set the keep ratios that hold at ``epoch`` (fractions count)."""
        for selector in self.selectors:
            selector.set_progress(epoch)

    def forward(self, images: Tensor, text: TextTokens | None = None) -> VisualTokens:
        """Encode ``images`` (B, 3, H, W) under one text each (or none)."""
        return self.forward_conditioned(self.forward_shared(images), text)

    def forward_shared(self, images: Tensor) -> SharedTokens:
        """Run everything in front of the first selector: (B, 3, H, W) -> tokens (B, P + N, D)."""
        tokens, grid = self.adapter.embed(images)
        block_input, positions = tokens, TokenPositions(grid)
        for layer in self.adapter.layers[: self.num_shared_blocks]:
            block_input = tokens
            tokens = self.adapter.run_block(layer, tokens, positions)
        keep_input = self._selector_at(self.num_shared_blocks, "after_block") is not None
        return SharedTokens(tokens, grid, self.num_shared_blocks, block_input if keep_input else None)

    def forward_conditioned(
        self,
        prefix: SharedTokens,
        text: TextTokens | None = None,
        *,
        select: Select = "all",
        num_blocks: int | None = None,
    ) -> VisualTokens:
        """Run the selectors and the remaining blocks under one condition.

        Args:
            prefix: Output of ``forward_shared``.
            text: The conditioning text of each image. Without one, CLS attention stands in for text-aware selectors.
            select: ``all`` selectors act; ``text_free``: those that read no text; ``none`` lets all tokens through.
            num_blocks: Stop after this block, before the final norm (a pass for patch scores alone).
        """
        batch, num_tokens = prefix.tokens.shape[:2]
        origin = torch.arange(num_tokens - self.num_prefix, device=prefix.tokens.device).expand(batch, -1)
        state = TokenState(prefix.tokens, origin, TokenPositions(prefix.grid), text, select, prefix.block_input)
        self._reduce(state, prefix.num_blocks, "after_block")
        last = self.num_blocks if num_blocks is None else num_blocks
        for block in range(prefix.num_blocks + 1, last + 1):
            self._run_block(state, block)
        num_prefix = self.num_prefix
        if last == self.num_blocks:
            state.tokens, num_prefix = self._finish(state)
        return VisualTokens(state.tokens, num_prefix, prefix.grid, state.selections, state.origin, state.scores)

    def _finish(self, state: TokenState) -> tuple[Tensor, int]:
        """Return the tokens as they leave the backbone, a global one in front, and how many are prefix."""
        tokens = self.adapter.final_norm(state.tokens)
        if not self.adapter.pools:
            return tokens, self.num_prefix
        sizes = None if state.positions.complete else patches_in_tokens(state.origin, tokens.shape[1] - self.num_prefix)
        return torch.cat([self.adapter.pool(tokens, sizes).unsqueeze(1), tokens], dim=1), self.num_prefix + 1

    def _run_block(self, state: TokenState, block: int) -> None:
        """Run one block with the selectors before, inside and after it."""
        layer = self.adapter.layers[block - 1]
        state.block_input, state.used = state.tokens, None
        self._reduce(state, block, "before_block")
        state.block_input = state.tokens
        inside = self._selector_at(block, "inside_block") is not None
        if inside or state.key_weights is not None or not self.adapter.runs_whole(state.positions):
            bias = key_bias(self.num_prefix, state.key_weights)
            inputs = (self.adapter, layer, state.tokens, state.positions, bias)
            state.tokens, state.used = run_half(layer, attention_half, *inputs)
            self._reduce(state, block, "inside_block")
            state.tokens = run_half(layer, self.adapter.feed_forward_half, layer, state.tokens)
        else:
            state.tokens = self.adapter.run_block(layer, state.tokens, state.positions)
        self._reduce(state, block, "after_block")

    def _selector_at(self, block: int, site: Site) -> PatchSelector | None:
        for selector in self.selectors:
            if selector.site == site and block in selector.blocks:
                return selector
        return None

    def _reduce(self, state: TokenState, block: int, site: Site) -> None:
        """Let the selector at this place plan, if there is one, and apply its plan."""
        selector = self._selector_at(block, site)
        if selector is None or state.select == "none" or (state.select == "text_free" and selector.needs_text):
            return
        with self.around_selection():
            self._select(selector, state, block)

    def _select(self, selector: PatchSelector, state: TokenState, block: int) -> None:
        assert state.block_input is not None
        access = ViTBlockAccess(
            self.adapter,
            block,
            positions=state.positions,
            tokens=state.tokens,
            block_input=state.block_input,
            key_weights=state.key_weights,
            used=state.used,
        )
        prefix, patches = state.tokens[:, : self.num_prefix], state.tokens[:, self.num_prefix :]
        view = BlockView(patches, prefix, state.text, state.origin, block, state.key_weights, access)
        decision = _decision_of(selector, view)
        plan = decision.plan
        state.selections.append(Selection(decision, block, state.origin))
        state.scores = _scores_of_slots(decision.scores, plan) if selector.ranks else None
        state.key_weights = carry_weights(state.key_weights, plan)
        if plan.is_identity:
            return
        state.tokens = apply_plan(state.tokens, plan, num_prefix=self.num_prefix)
        state.origin = compose(state.origin, plan)
        state.positions = state.positions.after(plan)

    def _read_bare_weights(self, state_dict: dict[str, Tensor], prefix: str, *_: object) -> None:
        """Accept the keys of a bare transformer: ``layers.0...`` becomes ``vit.layers.0...``; fit its positions."""
        own = (f"{prefix}vit.", f"{prefix}selectors.")
        for key in [k for k in state_dict if k.startswith(prefix) and not k.startswith(own)]:
            state_dict[f"{prefix}vit.{key[len(prefix) :]}"] = state_dict.pop(key)
        self.adapter.fit_positions(state_dict, f"{prefix}vit.")


def _decision_of(selector: PatchSelector, view: BlockView) -> Decision:
    decision = selector(view)
    if not isinstance(decision, Decision):
        raise ComponentError(
            f"model.selectors: {type(selector).__name__}.forward must return a Decision, got "
            f"{type(decision).__name__}. Return bus_toolkit.structures.Decision(plan, scores)."
        )
    return decision


def _check_blocks(selectors: Sequence[PatchSelector], num_blocks: int) -> None:
    taken: dict[int, int] = {}
    for index, selector in enumerate(selectors):
        where = f"model.selectors.{index}.blocks"
        if max(selector.blocks) > num_blocks:
            raise ValueError(
                f"{where}: the backbone has {num_blocks} blocks, got {selector.blocks}. "
                f"Blocks count from 1. Name blocks up to {num_blocks}."
            )
        for block in selector.blocks:
            if block in taken:
                raise ValueError(
                    f"{where}: block {block} already has selector {taken[block]}. A block holds one selector. "
                    "Give one of them another block."
                )
            taken[block] = index


def _check_sites(selectors: Sequence[PatchSelector], adapter: TransformerAdapter) -> None:
    problems = [adapter.refuse(selector, f"model.selectors.{index}") for index, selector in enumerate(selectors)]
    if any(problems):
        raise ValueError(" ".join(problem for problem in problems if problem))


def _scores_of_slots(scores: Tensor, plan: TokenPlan) -> Tensor:
    """Return the score (B, S) of each output slot; a fused token gets the lowest possible one."""
    kept = scores.gather(1, plan.keep_indices)
    if not plan.fused:
        return kept
    lowest = kept.new_full((kept.shape[0], 1), torch.finfo(kept.dtype).min)
    return torch.cat([kept, lowest], dim=1)
