"""The module that runs a vision transformer and lets selectors reduce its tokens between blocks.

Example:
    A tower of Hugging Face or timm, or your own (``BlocksAdapter``), with any selector:

    >>> import torch
    >>> from transformers import ViTConfig, ViTModel
    >>> from bus_toolkit.backbones import TokenReducingBackbone
    >>> from bus_toolkit.selectors import RandomSelector
    >>> config = ViTConfig(hidden_size=16, num_hidden_layers=3, num_attention_heads=2, image_size=32, patch_size=8)
    >>> backbone = TokenReducingBackbone(ViTModel(config), [RandomSelector(blocks=[2], keep_ratio=0.25)]).eval()
    >>> visual = backbone(torch.rand(2, 3, 32, 32))
    >>> visual.embeds.shape  # the class token and 4 of 4 x 4 patches
    torch.Size([2, 5, 16])
    >>> visual.kept_patches().unflatten(1, visual.grid).shape  # which of them, on the grid
    torch.Size([2, 4, 4])
    >>> visual.selections[0].decision.scores.shape  # what one selector, here the only one, ranked them by
    torch.Size([2, 16])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from bus_toolkit.backbones.adapters import adapter_of
from bus_toolkit.backbones.adapters.base import TransformerAdapter
from bus_toolkit.backbones.adapters.sizes import check_sizes
from bus_toolkit.backbones.check_inputs import check_images, check_same_transformer, check_text
from bus_toolkit.backbones.check_selectors import check_kinds, check_selectors
from bus_toolkit.backbones.conditioned_pass import AroundSelection, ConditionedPass, Select, selector_at
from bus_toolkit.backbones.own_code import OwnCode
from bus_toolkit.backbones.shared_pass import run_shared
from bus_toolkit.errors import CheckpointError
from bus_toolkit.ops.position_table import GRID_KEY, PositionMisfit, fit_tables
from bus_toolkit.selectors.base import PatchSelector
from bus_toolkit.structures import SharedTokens, TextTokens, VisualTokens
from bus_toolkit.weights.tower_names import in_names_of


class TokenReducingBackbone(nn.Module):
    """Run a vision transformer whose selectors shorten the sequence on the way.

    The order is: patches and prefix tokens with position embeddings; blocks up to the first selector
    (``forward_shared``, which no text can change); the rest under a condition (``forward_conditioned``); final norm.
    With no selector, or with keep_ratio 1, the result is the plain transformer's, bit for bit. State dicts of the bare
    transformer load without renaming, and positions of another image size are interpolated (``position_tables`` of the
    adapter); a state dict keeps their grid in its metadata.

    Args:
        vit: A built transformer that an adapter knows (``backbones/adapters``).
        selectors: Selectors with the blocks they sit at, at most one a block.
        adapter: What knows the inside of ``vit``; looked up when not given (``adapter_of``).
        path: What errors put before ``.selectors.<index>``: the place of this backbone's config.

    Attributes:
        num_prefix: Prefix tokens P inside the blocks; a global token that the library pools at the end is one more.

    Raises:
        ComponentError: No adapter knows the transformer, or one does not say its sizes.
        ConfigError: Something else than selectors; one that names a block that does not exist or that another selector
            has, or cannot work there.
    """

    vit: Any
    selectors: Any

    def __init__(
        self,
        vit: nn.Module,
        selectors: Sequence[PatchSelector] = (),
        *,
        adapter: TransformerAdapter | None = None,
        path: str = "model",
    ) -> None:
        super().__init__()
        check_kinds(selectors, f"{path}.selectors")
        self.vit = vit
        self.adapter = adapter or adapter_of(vit)
        check_sizes(self.adapter)
        self.own_code = OwnCode(self.adapter)
        self.selectors = nn.ModuleList(selectors)
        self.embed_dim = self.adapter.embed_dim
        self.num_blocks = len(self.adapter.layers)
        self.num_prefix = self.adapter.num_prefix
        check_selectors(selectors, self.adapter, f"{path}.selectors")
        self._register_load_state_dict_pre_hook(self._read_bare_weights)
        self.register_state_dict_post_hook(_note_grid)

    @property
    def needs_text(self) -> bool:
        """Whether any selector reads the text, so that different texts need different passes."""
        return any(selector.needs_text for selector in self.selectors)

    @property
    def needs_boxes(self) -> bool:
        """Whether any selector reads the boxes that each text names (``TextTokens.named_cover``)."""
        return any(selector.needs_boxes for selector in self.selectors)

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
        """Device of the weights."""
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
        """Encode images under one text each (or none).

        Args:
            images: Floats (B, 3, H, W), normalised as the transformer was trained
                (``bus_toolkit.inference.ImagePreprocessor`` makes them).
            text: Texts of your own text encoder (``TextTokens.of``), for selectors that read one. Without a text, CLS
                attention replaces them.

        Raises:
            DataError: Images of another shape, size, dtype or device, with NaN, or texts of another number.
            ComponentError: A text that no selector reads, or of another width; or the transformer, or a selector,
                returns what its contract does not allow.
        """
        if not self.training:  # reads the values, which a training need not wait for
            check_images(images, self.adapter)
        if text is not None:
            check_text(text, images.shape[0], self.selectors, reads_values=not self.training)
        return self.forward_conditioned(self.forward_shared(images), text)

    def forward_shared(self, images: Tensor, num_blocks: int | None = None) -> SharedTokens:
        """Run everything before the first selector: (B, 3, H, W) -> tokens (B, P + N, D).

        Args:
            images: (B, 3, H, W).
            num_blocks: How many blocks to run in place of those; 0 embeds the images alone.

        Raises:
            ComponentError: The transformer, or its list of blocks, was replaced after the backbone was made.
        """
        check_same_transformer(self.vit, self.adapter, self.num_blocks)
        self.own_code.look_at_transformer()
        num_blocks = self.num_shared_blocks if num_blocks is None else num_blocks
        keep_input = selector_at(self.selectors, num_blocks, "after_block") is not None
        return run_shared(self.adapter, images, num_blocks, keep_input=keep_input)

    def forward_conditioned(
        self,
        shared: SharedTokens,
        text: TextTokens | None = None,
        *,
        select: Select = "all",
        num_blocks: int | None = None,
        around_selection: AroundSelection = nullcontext,
    ) -> VisualTokens:
        """Run the selectors and the remaining blocks under one condition.

        Args:
            shared: Output of ``forward_shared``.
            text: The conditioning text of each image. Without one, CLS attention replaces text-aware selectors.
            select: ``all`` selectors act; ``text_free``: those that read no text; ``none`` lets all tokens through.
            num_blocks: Stop after this block, before the final norm (a pass for patch scores alone).
            around_selection: Opened around each planning and applying of a selection, so that its cost can be measured.
        """
        conditioned = ConditionedPass(
            self.adapter,
            self.selectors,
            shared=shared,
            text=text,
            select=select,
            around_selection=around_selection,
            own_code=self.own_code,
        )
        return conditioned.run(self.num_blocks if num_blocks is None else num_blocks)

    def _read_bare_weights(
        self, state_dict: dict[str, Tensor], prefix: str, local_metadata: Mapping[str, Any], *_: object
    ) -> None:
        _accept_bare_keys(state_dict, prefix)
        _accept_names_of_other_versions(state_dict, [f"{prefix}vit.{name}" for name in self.vit.state_dict()])
        grid = local_metadata.get(GRID_KEY)
        try:
            fit_tables(
                state_dict,
                f"{prefix}vit.",
                self.adapter.position_tables(),
                self.vit.state_dict(),
                None if grid is None else (grid[0], grid[1]),
            )
        except PositionMisfit as error:
            raise CheckpointError(f"model.backbone: {error}. Use the img_size of the checkpoint.") from error


def _note_grid(module: nn.Module, state_dict: Mapping[str, Any], prefix: str, local_metadata: dict[str, Any]) -> None:
    """Keep the grid of the positions with the weights; their shapes do not say it."""
    assert isinstance(module, TokenReducingBackbone)
    local_metadata[GRID_KEY] = module.adapter.position_grid


def _accept_bare_keys(state_dict: dict[str, Tensor], prefix: str) -> None:
    """Rename the keys of a bare transformer in place: ``layers.0...`` becomes ``vit.layers.0...``."""
    own = (f"{prefix}vit.", f"{prefix}selectors.")
    for key in [k for k in state_dict if k.startswith(prefix) and not k.startswith(own)]:
        state_dict[f"{prefix}vit.{key[len(prefix) :]}"] = state_dict.pop(key)


def _accept_names_of_other_versions(state_dict: dict[str, Tensor], own: Sequence[str]) -> None:
    """Rename the keys of towers of another version of transformers in place."""
    renamed = in_names_of(state_dict, own)
    if renamed is not state_dict:
        state_dict.clear()
        state_dict.update(renamed)
