"""What a causal language model reads of images: the tokens of a backbone and a decoder, brought to its width.

Shapes: B rows (texts), V visual tokens of a row, D width of the language model.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor, nn

from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from bus_toolkit.huggingface.visual_places import Grid
from bus_toolkit.ops.repeat_rows import repeat_rows
from bus_toolkit.step.parts import encode_by
from bus_toolkit.structures import TextTokens, VisualTokens


class Sight(NamedTuple):
    """The visual tokens of B rows.

    Attributes:
        tokens: (B, V, D).
        grid: Rows and columns of the V tokens; one row where they are no grid.
        readable: bool (B, V), False for tokens that hold nothing; ``None`` where all do.
        visual: What they were before the projector.
    """

    tokens: Tensor
    grid: Grid
    readable: Tensor | None
    visual: VisualTokens

    def repeat_each(self, times: int) -> Sight:
        """Return each row so many times, next to each other."""
        tokens, readable = repeat_rows(self.tokens, times), repeat_rows(self.readable, times)
        return Sight(tokens, self.grid, readable, self.visual.repeat_each(times))


class SeenImages:
    """Images of a batch, of which what no text can change is computed once.

    Prefix tokens of the backbone, and the global token of a decoder, are left out, as LLaVA leaves the class token out
    (arXiv 2304.08485; ``vision_feature_select_strategy: default`` in transformers).

    Args:
        backbone: With its selectors.
        decoder: ``VisualTokens`` to fewer ``VisualTokens``.
        projector: From their width to that of the language model.
        images: (I, 3, H, W).
    """

    def __init__(self, backbone: TokenReducingBackbone, decoder: Any, projector: nn.Module, images: Tensor) -> None:
        self._backbone, self._decoder, self._projector = backbone, decoder, projector
        self._shared, self._num_images = backbone.forward_shared(images), len(images)
        self._free: Sight | None = None

    @property
    def reads_text(self) -> bool:
        """Whether different texts give different visual tokens."""
        return self._backbone.needs_text or getattr(self._decoder, "reads_text", False)

    def under(self, text: TextTokens) -> Sight:
        """Return the visual tokens under a text of each row (B, L, D); rows of one image are next to each other."""
        return self._seen(encode_by(self._backbone, self._decoder, self._shared, text, "all"))

    def free(self, num_rows: int) -> Sight:
        """Return the visual tokens without a text, for B rows; those of one image are next to each other."""
        if self._free is None:
            self._free = self._seen(encode_by(self._backbone, self._decoder, self._shared, None, "all"))
        return self._free.repeat_each(num_rows // self._num_images)

    def _seen(self, visual: VisualTokens) -> Sight:
        tokens = self._projector(visual.embeds[:, visual.num_prefix :])
        readable = None if visual.unread is None else ~visual.unread[:, visual.num_prefix :]
        return Sight(tokens, self._grid(visual, tokens.shape[1]), readable, visual)

    def _grid(self, visual: VisualTokens, count: int) -> Grid:
        side = getattr(self._decoder, "side", 0)  # of decoders that lay their tokens out on a grid
        if side * side == count:
            return side, side
        return visual.grid if visual.grid[0] * visual.grid[1] == count and visual.origin is not None else (1, count)
