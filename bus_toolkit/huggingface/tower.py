"""Selection inside the vision tower of a model whose patches are its visual tokens one to one, by hooks alone.

Layers after the selection, and the projector, hold what is left. The projector's output has the whole width again,
zeros where a patch is gone; those places never enter the language model, and are known by their zeros: transformers may
keep features, repeat them for beams, and use them in several calls.

Shapes: I images, P prefix tokens, N patches, S of what is left, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from bus_toolkit.errors import ComponentError, DataError
from bus_toolkit.huggingface.checkpointing import Uncheckpointed
from bus_toolkit.huggingface.choosing import Site, choose
from bus_toolkit.huggingface.layer_hook import LayerHook
from bus_toolkit.huggingface.layout import Layout
from bus_toolkit.huggingface.recorded_attention import AttentionRecorder
from bus_toolkit.huggingface.sequence import Sequence
from bus_toolkit.huggingface.tower_parts import TowerParts
from bus_toolkit.huggingface.unit_groups import UnitGroup
from bus_toolkit.huggingface.visual_places import Unit
from bus_toolkit.selectors.base import PatchSelector


class TowerReduction:
    """Hooks that shorten the sequence in a vision tower.

    A selector after the layer whose output the model reads acts on what the projector gets, without the class token.

    Args:
        parts: The tower and its projector.
        selectors: What selects after layers of the tower, by their numbers from 1.
        around_selection: Opened around each selection.
    """

    def __init__(
        self,
        parts: TowerParts,
        selectors: Mapping[int, PatchSelector],
        around_selection: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        self._parts, self._selectors, self._around_selection = parts, selectors, around_selection
        attention = [parts.layers[block - 1].self_attn for block in selectors]
        self._recorder = AttentionRecorder(attention, parts.implementation)
        self._uncheckpointed = Uncheckpointed(list(parts.layers[min(selectors) - 1 :]))
        self._sequence: Sequence | None = None

    def install(self) -> list[RemovableHandle]:
        """Put the hooks in and return their handles."""
        self._recorder.open()
        parts, first = self._parts, min(self._selectors)
        return [
            parts.tower.register_forward_pre_hook(self._begin),
            parts.tower.register_forward_hook(self._end, always_call=True),
            *(
                parts.layers[number].register_forward_pre_hook(LayerHook(self._enter_layer, number), with_kwargs=True)
                for number in range(first, parts.last_read)
            ),
            parts.projector.register_forward_pre_hook(self._enter_projector),
            parts.projector.register_forward_hook(self._leave_projector),
        ]

    def close(self) -> None:
        """Let go of attention functions; hooks are taken out by their handles."""
        self._recorder.close()

    def _begin(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        self._sequence = None
        self._uncheckpointed.begin(module)
        self._recorder.begin()

    def _end(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        self._uncheckpointed.end()

    def _enter_layer(self, number: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        states = args[0] if args else kwargs["hidden_states"]
        num_prefix = self._parts.num_prefix
        if number in self._selectors:
            prefix = states[:, :num_prefix]
            states = torch.cat([prefix, self._select(number, states[:, num_prefix:], prefix)], dim=1)
        kwargs = {**kwargs} if args else {**kwargs, "hidden_states": states}
        args = (states, *args[1:]) if args else args
        bias = None if self._sequence is None else _key_bias(self._sequence.layout, states)
        if bias is None:
            return args, kwargs
        mask = nn.functional.pad(bias, (num_prefix, 0))[:, None, None]
        if len(args) > 1:
            return (args[0], mask, *args[2:]), kwargs
        return args, {**kwargs, "attention_mask": mask}

    def _enter_projector(self, module: nn.Module, args: tuple[Any, ...]) -> Any:
        if self._parts.last_read not in self._selectors:
            return None
        return (self._select(self._parts.last_read, args[0], None), *args[1:])

    def _select(self, block: int, patches: Tensor, prefix: Tensor | None) -> Tensor:
        before = _whole(patches) if self._sequence is None else self._sequence.with_states(patches)
        _check_width(patches, before)
        attention = self._recorder.take(self._parts.layers[block - 1].self_attn)
        site = Site(
            block,
            attention,
            asking=_asking(before.layout, self._parts.num_prefix),
            prefix=prefix,
            num_prefix=self._parts.num_prefix,
            has_class_token=self._parts.num_prefix > 0,
        )
        with self._around_selection():
            after = before.after(choose(self._selectors[block], before, site), block)
        self._sequence = after.with_states(after.states[:, :0])
        return after.states

    def _leave_projector(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        sequence, self._sequence = self._sequence, None
        self._recorder.forget()
        if sequence is None:
            return output
        _check_width(output, sequence)
        layout = sequence.layout
        if layout.valid is not None:
            output = output.masked_fill(~layout.valid.unsqueeze(2), 0.0)
        whole = output.new_zeros(output.shape[0], layout.width, output.shape[2])
        return whole.scatter(1, layout.places.unsqueeze(2).expand(-1, -1, output.shape[2]), output)


def _key_bias(layout: Layout, like: Tensor) -> Tensor | None:
    """Return what is added to attention logits, (I, S); ``None`` where that is nothing."""
    if layout.valid is None:
        return layout.bias
    bias = like.new_zeros(layout.places.shape) if layout.bias is None else layout.bias
    # What fills up images that keep fewer patches is never read.
    return bias.masked_fill(~layout.valid, torch.finfo(bias.dtype).min)


def _asking(layout: Layout, num_prefix: int) -> Tensor | None:
    """Return which tokens are no filling, bool (I, P + S); ``None``: all."""
    return None if layout.valid is None else nn.functional.pad(layout.valid, (num_prefix, 0), value=True)


def _check_width(states: Tensor, sequence: Sequence) -> None:
    if states.shape[1] != sequence.layout.places.shape[1]:
        raise DataError(
            f"reduce_tokens: vision= needs the output of the layer that the config names, got {states.shape[1]} tokens "
            f"for {sequence.layout.places.shape[1]} patches that are left. Leave vision_feature_layer and "
            "vision_feature_select_strategy out of the call."
        )


def _whole(patches: Tensor) -> Sequence:
    """Return the patches of all images, before any selection."""
    count, num_patches = patches.shape[:2]
    side = int(num_patches**0.5)
    if side * side != num_patches:
        raise ComponentError(
            f"reduce_tokens: vision= needs square images, got {num_patches} patches an image. Use projected= or "
            "selectors=."
        )
    units = tuple(Unit(row, 0, ((side, side),)) for row in range(count))
    layout = Layout.whole(count, num_patches, patches.device)
    rows = torch.arange(count, device=patches.device)
    group = UnitGroup(units, rows, layout.places, layout.places)
    return Sequence(patches, layout, (group,), (num_patches,) * count)
