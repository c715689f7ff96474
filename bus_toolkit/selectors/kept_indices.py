"""What an engine that serves models asks of a selector: how many tokens stay, before anything is computed, and which.

vLLM's and SGLang's hooks for dropping visual tokens are two functions: a count, by which the prompt gets its
placeholders before the image is encoded, and the choice itself, made later of as many tokens. These are the same two
for any selector, without a backbone.

Shape suffixes: B images, N tokens of each, K kept ones, D width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bus_toolkit.errors import ComponentError, DataError, describe
from bus_toolkit.selectors.base import PatchSelector, decision_of
from bus_toolkit.selectors.view import BlockView, shapes_alone
from bus_toolkit.structures import TextTokens


def count_kept(selector: PatchSelector, grid: tuple[int, int]) -> int:
    """Return how many tokens of an image stay: exactly as many as ``kept_indices`` returns, whatever the image shows.

    Of most selectors it is ``ops.num_kept(rows * columns, keep_ratio)``: the share rounded down, at least 1. One that
    rounds otherwise is asked.

    Args:
        selector: A selector that ``kept_indices`` takes.
        grid: Rows and columns of the tokens.

    Raises:
        ComponentError: It cannot choose among tokens alone.
        DataError: A grid without tokens.
    """
    _check_selector(selector)
    return selector.num_kept(shapes_alone(selector.blocks[0], _area(grid), grid))


@torch.no_grad()
def kept_indices(
    selector: PatchSelector, features: Tensor, grid: tuple[int, int], text: TextTokens | None = None
) -> Tensor:
    """Return which tokens of each image stay, int64 (B, K), ascending; K is ``count_kept(selector, grid)``.

    A function of its arguments in eval mode: no image depends on its batch mates, and ties go to the lower index.

    Args:
        selector: One that looks at tokens, their places and a text, and drops the others (``fuse: none``).
        features: Floats (B, N, D), the tokens of each image row by row of the grid, without class token.
        grid: Rows and columns, of N tokens together.
        text: A text for each image (``TextTokens.of``), where the selector reads one.

    Raises:
        ComponentError: The selector reads the inside of a transformer, or merges, fuses or hides tokens, which indices
            cannot say.
        DataError: Features or text that do not fit the grid, the selector or each other.

    Example:
        >>> import torch
        >>> from bus_toolkit.selectors import UniformGridSelector, count_kept, kept_indices
        >>> selector = UniformGridSelector(blocks=[1], keep_ratio=0.25)
        >>> count_kept(selector, (4, 4))
        4
        >>> kept_indices(selector, torch.rand(1, 16, 8), (4, 4))
        tensor([[ 0,  2,  8, 10]])
    """
    _check_selector(selector)
    _check_features(selector, features, grid)
    _check_text(selector, features, text)
    batch, count = features.shape[:2]
    view = BlockView(
        patches=features,
        prefix=features[:, :0],
        text=text if selector.needs_text else None,
        origin=torch.arange(count, device=features.device).expand(batch, count),
        block=selector.blocks[0],
        key_weights=None,
        inside=_NoBlock(type(selector).__name__, features, text),
        grid=grid,
    )
    plan = decision_of(selector, view).plan
    if plan.merging or plan.fused or plan.key_weights is not None:
        raise _not_indices_alone(type(selector).__name__, "a plan that merges, fuses, weighs or hides tokens")
    return plan.keep_indices


@dataclass(frozen=True)
class _NoBlock:
    """Says that there is no block to whoever asks it."""

    name: str
    features: Tensor
    text: TextTokens | None

    def entered(self) -> tuple[Tensor, Tensor]:
        """Return tokens and words, which have gone through no layer here."""
        if self.text is None:
            raise _needs_a_block(self.name)
        return self.features, self.text.embeds

    def __getattr__(self, name: str) -> Any:
        raise _needs_a_block(self.name)


def _needs_a_block(name: str) -> ComponentError:
    return ComponentError(
        f"kept_indices: a selector that looks at tokens, places and text alone is needed, got {name}, which reads the "
        "inside of a transformer's block. Put it into a TokenReducingBackbone, or use another selector, such as TSPS."
    )


def _not_indices_alone(name: str, got: str) -> ComponentError:
    return ComponentError(
        f"kept_indices: {name} must keep or drop tokens and do no more, so that indices say all, got {got}. Build it "
        "with fuse='none', or use a selector that keeps a share."
    )


def _check_selector(selector: PatchSelector) -> None:
    name = type(selector).__name__
    if not isinstance(selector, PatchSelector):
        raise ComponentError(f"kept_indices: must be a PatchSelector, got {describe(selector)}. Build one first.")
    if selector.reads_block or selector.needs_class_token or selector.needs_word_stream:
        raise _needs_a_block(name)
    if selector.needs_boxes:
        raise ComponentError(f"kept_indices: {name} reads boxes, which an image to serve does not have. Use another.")
    if selector.fuse != "none":
        raise _not_indices_alone(name, f"fuse: {selector.fuse}, which adds a token made of the others")
    if type(selector).marked is not PatchSelector.marked:
        raise _not_indices_alone(name, "marked(), by which images keep different numbers of tokens")


def _area(grid: tuple[int, int]) -> int:
    rows, columns = grid
    if min(rows, columns) < 1:
        raise DataError(f"grid: must be 1 or more rows and columns, got {rows} x {columns}.")
    return rows * columns


def _check_features(selector: PatchSelector, features: Any, grid: tuple[int, int]) -> None:
    if not isinstance(features, Tensor) or features.dim() != 3 or not features.is_floating_point():
        raise DataError(
            f"features: must be floats (B, N, D), got {describe(features)}. Put .unsqueeze(0) after one image."
        )
    if features.shape[1] != _area(grid):
        raise DataError(
            f"features: a grid of {grid[0]} x {grid[1]} has {_area(grid)} tokens, got {features.shape[1]}. Leave class "
            "and register tokens out; after a merging of patches the grid is that of what is left."
        )
    wanted = selector.embed_dim
    if wanted is not None and features.shape[2] != wanted:
        raise DataError(f"features: {type(selector).__name__} reads tokens of width {wanted}, got {features.shape[2]}.")


def _check_text(selector: PatchSelector, features: Tensor, text: TextTokens | None) -> None:
    name = type(selector).__name__
    if not selector.needs_text:
        return
    if text is None or text.embeds.shape[0] != features.shape[0]:
        got = "none" if text is None else f"{text.embeds.shape[0]}"
        raise DataError(
            f"text: {name} reads a text for each of {features.shape[0]} images, got {got}. Write TextTokens.of(embeds)."
        )
    if selector.text_dim is not None and text.embeds.shape[2] != selector.text_dim:
        raise DataError(f"text: {name} reads texts of width {selector.text_dim}, got {text.embeds.shape[2]}.")
