"""Selection after layers of a causal language model of transformers, by hooks on it and on its layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from itertools import count
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from bus_toolkit.errors import ComponentError
from bus_toolkit.huggingface.attention_masks import Call
from bus_toolkit.huggingface.cache import cache_of, prefill_of, put_prefill
from bus_toolkit.huggingface.checkpointing import Uncheckpointed
from bus_toolkit.huggingface.checks import acts_before
from bus_toolkit.huggingface.choosing import Site, choose
from bus_toolkit.huggingface.layer_arguments import for_places, of_attention, without_gaps
from bus_toolkit.huggingface.layer_hook import LayerHook
from bus_toolkit.huggingface.outputs import spread_outputs
from bus_toolkit.huggingface.passes import Pass, Passes
from bus_toolkit.huggingface.prefill import Prefill
from bus_toolkit.huggingface.recorded_attention import AttentionRecorder, RecordedAttention
from bus_toolkit.huggingface.turns import Earlier
from bus_toolkit.selectors.base import PatchSelector

_NUMBERS = count()


class LayerStages:
    """Hooks that shorten the sequence between layers, and give what leaves the last one its whole width again.

    What the visual tokens of a call are is for its owner to say: from a hook of its own before the language model, it
    calls ``enter``, and ``begin`` where images begin.

    Args:
        decoder: The language model, which has ``layers``.
        inside: What selects between layers, by the number (from 1) of the one before; a selector that acts before its
            block reads the attention of the layer after.
        around_selection: Opened around each selection, so that its cost can be measured.

    Attributes:
        around_selection: As given; may be exchanged.
        prefill: The last prefill; ``None`` before the first, and after one without images.
        earlier: What earlier turns of a conversation decided, by stage, in places of the whole sequence.
    """

    def __init__(
        self,
        decoder: Any,
        inside: Mapping[int, PatchSelector],
        around_selection: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        self._decoder, self._inside, self.around_selection = decoder, inside, around_selection
        self.prefill: Prefill | None = None
        self.earlier: Mapping[int, Earlier] = {}
        self._number, self._passes, self._cache = next(_NUMBERS), Passes(), None
        used = [decoder.layers[stage - 1].self_attn for stage, one in inside.items() if not acts_before(one)]
        asked = [decoder.layers[stage].self_attn for stage, one in inside.items() if acts_before(one)]
        self._recorder = AttentionRecorder(used, self._implementation, asked)
        around = {number for block in inside for number in (block - 1, block)}
        self._uncheckpointed = Uncheckpointed([decoder.layers[number] for number in sorted(around)])

    def install(self, first: int) -> list[RemovableHandle]:
        """Put the hooks in, on layers from ``first`` (counted from 0) on, and return their handles."""
        self._recorder.open()
        return [
            self._decoder.register_forward_hook(self._leave),
            # After an error, too.
            self._decoder.register_forward_hook(self._end, always_call=True),
            *(
                layer.register_forward_pre_hook(LayerHook(self._enter_layer, number), with_kwargs=True)
                for number, layer in enumerate(self._decoder.layers)
                if number >= first
            ),
        ]

    def close(self) -> None:
        """Let go of attention functions; hooks are taken out by their handles."""
        self._recorder.close()

    def enter(self, arguments: Mapping[str, Any]) -> Pass:
        """Note that a call of the language model begins, with these arguments; return the pass that goes on.

        That has the prefill that filled the cache, if there is one.

        Raises:
            DataError: A cache that was filled under another reduction, or has been changed since.
        """
        self._uncheckpointed.begin(self._decoder)
        self._cache = cache_of(arguments)
        self._passes.now = Pass()
        seen = 0 if self._cache is None else int(self._cache.get_seq_length())
        if seen:
            batch, new = _shape(arguments)
            prefill = prefill_of(self._cache, self._number, batch=batch, num_layers=len(self._decoder.layers))
            later = 0 if prefill is None else seen + new - prefill.width
            self._passes.now = Pass(prefill, Call(new, later, self._is_flash))
        return self._passes.now

    def begin(self, prefill: Prefill | None) -> None:
        """Say what the sequences of the call under way are; ``None``: texts alone.

        Raises:
            ComponentError: A cache of one length for all layers.
        """
        self.prefill = prefill
        if prefill is None:
            return
        if getattr(self._cache, "is_compileable", False):
            raise ComponentError(
                f"reduce_tokens: the cache must grow, got {type(self._cache).__name__}, which has one length for all "
                "layers. Leave cache_implementation out, or use a DynamicCache."
            )
        self._passes.now = Pass(prefill, Call(flash=self._is_flash))
        self._recorder.begin()

    @property
    def _implementation(self) -> str:
        return str(self._decoder.config._attn_implementation)

    @property
    def _is_flash(self) -> bool:
        return "flash" in self._implementation

    def _enter_layer(self, number: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        now = self._passes.of_layer(kwargs)
        prefill, call = now.prefill, now.call
        if prefill is None:
            return None
        states = args[0] if args else kwargs["hidden_states"]
        if number in self._inside and not call.num_new:
            states = self._select(prefill, number, states, for_places(kwargs, prefill.last.layout, call))
        layout = prefill.layout_at(number)
        if not layout.is_whole:
            kwargs = for_places(kwargs, layout, call)
        if call.flash and not (layout.is_whole and prefill.entry.is_whole):
            kwargs = without_gaps(kwargs)
        return ((states, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": states})

    def _select(self, prefill: Prefill, stage: int, states: Tensor, arguments: Mapping[str, Any]) -> Tensor:
        if stage in prefill.after:
            raise ComponentError(
                f"reduce_tokens: layer {stage + 1} runs again in the backward pass, where a selection cannot be made "
                "again. Use model.gradient_checkpointing_enable(), and no other checkpointing of layers."
            )
        before, earlier, selector = prefill.last, self.earlier.get(stage), self._inside[stage]
        site = Site(
            stage + acts_before(selector),
            self._attention(stage, states, arguments),
            words=prefill.words,
            asking=prefill.asking,
            earlier=None if earlier is None else earlier.at(prefill.entry.places),
            entered=prefill.entered,
        )
        with self.around_selection():
            sequence = before.with_states(states)
            after = sequence.after(choose(selector, sequence, site), stage)
        prefill.note(stage, after)
        return after.states

    def _attention(self, stage: int, states: Tensor, arguments: Mapping[str, Any]) -> Callable[[], RecordedAttention]:
        if not acts_before(self._inside[stage]):
            return self._recorder.take(self._decoder.layers[stage - 1].self_attn)
        layer = self._decoder.layers[stage]
        own = of_attention(arguments)
        return self._recorder.ahead(
            layer.self_attn, lambda: layer.self_attn(hidden_states=layer.input_layernorm(states), **own)
        )

    def _leave(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        now = self._passes.now
        if now is None or now.prefill is None or now.call.num_new:
            return output
        output = spread_outputs(output, now.prefill)
        put_prefill(cache_of(output), now.prefill, self._number)
        return output

    def _end(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if self.prefill is not None:
            self.prefill.entered = None
        self._passes.now = self._cache = None
        self._recorder.forget()
        self._uncheckpointed.end()


def _shape(arguments: Mapping[str, Any]) -> tuple[int, int]:
    """Return rows and new tokens of a call."""
    embeds = arguments.get("inputs_embeds")
    given: Tensor = arguments["input_ids"] if embeds is None else embeds
    return given.shape[0], given.shape[1]
