"""Selection inside the vision tower of a model whose patches are its visual tokens one to one, by hooks alone.

Layers after the selection, and the projector, hold what is left. The projector's output has the whole width again, zeros
where a patch is gone; those places never enter the language model.

Shapes: I images, P prefix tokens, N patches, S of what is left, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from bus_toolkit.errors import ComponentError
from bus_toolkit.huggingface.choosing import Sequence, choose
from bus_toolkit.huggingface.families import Family, part_of, side_of, tower_layers
from bus_toolkit.huggingface.layout import Layout
from bus_toolkit.huggingface.recorded_attention import forget, recorded
from bus_toolkit.huggingface.unit_groups import UnitGroup
from bus_toolkit.huggingface.visual_places import Unit
from bus_toolkit.selectors.base import PatchSelector


class TowerReduction:
    """Hooks that shorten the sequence in a vision tower.

    Args:
        model: The vision-language model.
        family: Its family.
        selectors: What selects after layers of the tower, by their numbers from 1.
        around_selection: Opened around each selection.

    Raises:
        ComponentError: A family whose patches are no visual tokens one to one, or a layer whose output is not read.
    """

    def __init__(
        self,
        model: Any,
        family: Family,
        selectors: Mapping[int, PatchSelector],
        around_selection: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        if family.tower is None or family.projector is None:
            raise ComponentError(
                f"reduce_tokens: vision= needs a tower whose patches are the visual tokens one to one, got {family.name}, "
                "which merges, cuts or arranges them after it. Use projected= or selectors=."
            )
        self.tower, self._projector = part_of(model, family.tower), part_of(model, family.projector)
        self.layers = tower_layers(self.tower)
        read = getattr(model.config, "vision_feature_layer", -1)
        last = len(self.layers) if not isinstance(read, int) else read % (len(self.layers) + 1)
        late = [block for block in selectors if block > last]
        if not isinstance(read, int) or late:
            raise ComponentError(
                f"reduce_tokens: vision= must select in layers 1 to {last} of the tower, whose output {last} is read, got "
                f"blocks {sorted(selectors)} and vision_feature_layer {read}. Name an earlier block."
            )
        self._selectors, self._around_selection = dict(selectors), around_selection
        self._sequence: Sequence | None = None
        self._num_patches = 0

    def install(self) -> list[Any]:
        """Put the hooks in and return their handles."""
        layers = (self.layers[block - 1] for block in self._selectors)
        later = [layer for number, layer in enumerate(self.layers, 1) if number > min(self._selectors)]
        return [
            self.tower.register_forward_pre_hook(self._begin),
            *(
                layer.register_forward_hook(_AfterBlock(self._after_block, block))
                for block, layer in zip(self._selectors, layers, strict=True)
            ),
            *(layer.register_forward_pre_hook(self._weigh_keys, with_kwargs=True) for layer in later),
            self._projector.register_forward_hook(self._restore),
        ]

    def hidden(self) -> Tensor:
        """Return which patches of all images are gone, one image after the other, bool (I N,)."""
        sequence = self._passed()
        return ~sequence.layout.kept()[:, self._num_prefix :].flatten()

    def _passed(self) -> Sequence:
        if self._sequence is None:
            raise ComponentError(
                "reduce_tokens: vision= needs pixel_values in the call. Give the images with the text."
            )
        return self._sequence

    @property
    def _num_prefix(self) -> int:
        return self._passed().layout.width - self._num_patches

    def _begin(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        self._sequence = None

    def _after_block(self, block: int, output: Any) -> Any:
        states = output[0] if isinstance(output, tuple) else output
        before = self._whole(states) if self._sequence is None else self._sequence
        sequence = Sequence(states, before.layout, before.groups, before.counts)
        attention = self.layers[block - 1].self_attn
        asking = (
            torch.zeros(len(states), dtype=torch.int64, device=states.device) if self._has_class_token(before) else None
        )
        with self._around_selection():
            after = choose(
                self._selectors[block],
                sequence,
                block=block,
                words=None,
                attention=lambda: recorded(attention),
                asking=asking,
            )
        forget(attention)
        if after.layout.valid is not None:
            raise ComponentError(
                "reduce_tokens: vision= needs a selector that keeps as many patches of each image, got one that hides some. "
                "Use it in projected= or selectors=."
            )
        self._sequence = after
        return (after.states, *output[1:]) if isinstance(output, tuple) else after.states

    def _has_class_token(self, sequence: Sequence) -> bool:
        return sequence.layout.width > self._num_patches

    def _whole(self, states: Tensor) -> Sequence:
        """Return the tokens of all images, before any selection."""
        count, width = states.shape[:2]
        # A class token makes the number of tokens one more than a square.
        side = side_of(width) or side_of(width - 1)
        if side is None:
            raise ComponentError(
                f"reduce_tokens: vision= needs square images, got {width} tokens an image in the tower."
            )
        self._num_patches = side * side
        places = torch.arange(width - self._num_patches, width, device=states.device).expand(count, -1)
        units = tuple(Unit(row, 0, ((side, side),)) for row in range(count))
        origin = torch.arange(self._num_patches, device=states.device).expand(count, -1)
        group = UnitGroup(units, torch.arange(count, device=states.device), places, origin)
        return Sequence(states, Layout.whole(count, width, states.device), (group,), (width,) * count)

    def _weigh_keys(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Put the weights of keys into the attention mask of a later layer, if there are any."""
        bias = None if self._sequence is None else self._sequence.layout.bias
        if bias is None:
            return None
        mask = bias[:, None, None, :]
        if len(args) > 1:
            return (args[0], mask, *args[2:]), kwargs
        return args, {**kwargs, "attention_mask": mask}

    def _restore(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        sequence = self._passed()
        num_prefix = self._num_prefix
        places = sequence.layout.places[:, num_prefix:] - num_prefix  # (I, S)
        whole = output.new_zeros(output.shape[0], self._num_patches, output.shape[2])
        return whole.scatter(1, places.unsqueeze(2).expand(-1, -1, output.shape[2]), output)


class _AfterBlock:
    """A hook that knows its block's number, from 1."""

    def __init__(self, hook: Callable[[int, Any], Any], block: int) -> None:
        self._hook, self._block = hook, block

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        return self._hook(self._block, output)
