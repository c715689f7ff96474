"""Selection after layers of a causal language model of transformers, by hooks on its layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from weakref import ref

from torch import nn

from bus_toolkit.errors import ComponentError
from bus_toolkit.huggingface.choosing import Earlier
from bus_toolkit.huggingface.layer_arguments import Call, for_places
from bus_toolkit.huggingface.prefill import Prefill, reduce_at
from bus_toolkit.huggingface.recorded_attention import forget, recorded
from bus_toolkit.ops.token_plan import gather_tokens
from bus_toolkit.selectors.base import PatchSelector


class LayerStages:
    """Hooks that shorten the sequence between layers, and give what leaves the last one its whole width again.

    What the visual tokens of a call are is for its owner to say, which sets ``prefill`` before the first layer.

    Args:
        decoder: The language model, which has ``layers``.
        inside: What selects after layers, by their numbers from 1.
        around_selection: Opened around each selection, so that its cost can be measured.

    Attributes:
        prefill: What is known of the sequences under way; ``None`` lets a call pass as it is.
        call: What the call under way is.
        earlier: What earlier turns of a conversation decided, by stage, in places of the whole sequence.
    """

    def __init__(
        self,
        decoder: Any,
        inside: Mapping[int, PatchSelector],
        around_selection: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        self.decoder, self.inside, self.around_selection = decoder, inside, around_selection
        self.prefill: Prefill | None = None
        self.call = Call(0, 0, False)
        self.earlier: Mapping[int, Earlier] = {}

    def install(self, first: int) -> list[Any]:
        """Put the hooks in, on layers from ``first`` (counted from 0) on, and return their handles."""
        layers = enumerate(self.decoder.layers)
        return [
            self.decoder.register_forward_hook(self._leave, with_kwargs=True),
            *(
                layer.register_forward_pre_hook(_LayerHook(self._enter_layer, number), with_kwargs=True)
                for number, layer in layers
                if number >= first
            ),
        ]

    def enter(self, kwargs: Mapping[str, Any]) -> int:
        """Note that a call of the language model begins, with these arguments; return how many tokens its cache holds.

        Raises:
            ComponentError: A cache of one length for all layers.
        """
        cache = kwargs.get("past_key_values")
        if getattr(cache, "is_compileable", False):
            raise ComponentError(
                f"reduce_tokens: the cache must grow, got {type(cache).__name__}, which has one length for all layers. "
                "Leave cache_implementation out, or use a DynamicCache."
            )
        flash = "flash" in str(self.decoder.config._attn_implementation)
        seen = 0 if cache is None else cache.get_seq_length()
        if seen == 0 or self.prefill is None:
            self.call = Call(0, 0, flash)
            return seen
        given = kwargs.get("inputs_embeds")
        new = (kwargs["input_ids"] if given is None else given).shape[1]
        self.call = Call(new, seen + new - self.prefill.width, flash)
        return seen

    def _enter_layer(self, number: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        prefill = self.prefill
        if prefill is None:
            return None
        states = args[0] if args else kwargs["hidden_states"]
        selector = self.inside.get(number)
        if selector is not None and self.call.num_new == 0:
            attention = self.decoder.layers[number - 1].self_attn
            with self.around_selection():
                states = reduce_at(
                    prefill,
                    number,
                    states,
                    selector,
                    lambda: recorded(attention),
                    words=prefill.words,
                    earlier=self._earlier_inside(prefill, number),
                )
            forget(attention)
        layout = prefill.layout_at(number)
        assert layout is not None, "what enters the first layer is a stage"
        if not layout.is_whole:
            kwargs = for_places(kwargs, layout, self.call)
        return ((states, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": states})

    def _earlier_inside(self, prefill: Prefill, stage: int) -> Earlier | None:
        """Return what earlier turns decided at a stage, in places of what enters the first layer."""
        found = self.earlier.get(stage)
        if found is None:
            return None
        known, kept = (places.gather(1, prefill.entry.places) for places in (found.known, found.kept))
        return Earlier(known, kept, found.final)

    def _leave(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        prefill = self.prefill
        if prefill is None or self.call.num_new:
            return output
        cache = getattr(output, "past_key_values", None)
        prefill.cache = None if cache is None else ref(cache)
        left = prefill.left
        if left.places.shape[1] != left.width or left.valid is not None:
            output.last_hidden_state = gather_tokens(output.last_hidden_state, left.place_of_each())
        return output


@dataclass(frozen=True)
class _LayerHook:
    """A hook that knows its layer's number, from 0."""

    hook: Callable[[int, tuple[Any, ...], dict[str, Any]], Any]
    number: int

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self.hook(self.number, args, kwargs)
