"""Selection before and inside the language model of a vision-language model of transformers, by hooks alone.

Positions stay those of the whole sequence. Layers after a selection, and their caches, hold the places that are left. The
states that leave the language model have the whole width again, a place that is gone with the state of the nearest one
before it that is left, so that labels, losses and shapes of the model are as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Literal, NoReturn

import torch
from torch import Tensor, nn

from bus_toolkit.errors import ComponentError, DataError
from bus_toolkit.huggingface.choosing import Earlier, Words, choose
from bus_toolkit.huggingface.families import Family, visual_ids
from bus_toolkit.huggingface.layer_arguments import short_mask
from bus_toolkit.huggingface.layer_stages import LayerStages
from bus_toolkit.huggingface.layout import Layout
from bus_toolkit.huggingface.prefill import ENTRY, Prefill, begin_stages, whole_sequence
from bus_toolkit.huggingface.visual_places import Quota, visual_places
from bus_toolkit.selectors.base import PatchSelector

Turns = Literal["each", "union", "keep", "without_text"]


@dataclass(frozen=True)
class Policy:
    """How selection goes on beyond one image and one question.

    Attributes:
        quota: What is ranked together: all visual tokens of a ``sample``, or those of an ``image``.
        turns: What becomes of the selection of an earlier turn of the same conversation.
        around_selection: Opened around each selection, so that its cost can be measured.
    """

    quota: Quota
    turns: Turns
    around_selection: Callable[[], AbstractContextManager[Any]]


class LanguageModelReduction:
    """Hooks that shorten the sequence in a language model.

    Args:
        model: The vision-language model.
        family: Its family.
        decoder: Its language model.
        projected: What selects before the first layer, or ``None``.
        inside: What selects after layers, by their numbers from 1.
        hidden_by_tower: Returns which visual tokens of all images, in order, a tower has dropped; ``None`` where none
            selects.
        policy: How selection goes on beyond one image and one question.
    """

    def __init__(
        self,
        model: nn.Module,
        family: Family,
        decoder: Any,
        *,
        projected: PatchSelector | None,
        inside: Mapping[int, PatchSelector],
        hidden_by_tower: Callable[[], Tensor] | None,
        policy: Policy,
    ) -> None:
        self._model, self._family, self._decoder = model, family, decoder
        self._projected, self._policy = projected, policy
        self._hidden_by_tower = hidden_by_tower
        self._inputs: Mapping[str, Any] | None = None
        self._stages = LayerStages(decoder, inside, policy.around_selection)

    def install(self) -> list[Any]:
        """Put the hooks in and return their handles."""
        reads_at_entry = self._projected is not None or self._hidden_by_tower is not None
        return [
            self._model.register_forward_pre_hook(self._see_inputs, with_kwargs=True),
            self._decoder.register_forward_pre_hook(self._enter, with_kwargs=True),
            *self._stages.install(0 if reads_at_entry else min(self._stages.inside)),
        ]

    @property
    def prefill(self) -> Prefill | None:
        """What is known of the last prefill; ``None`` before the first with images."""
        return self._stages.prefill

    @prefill.setter
    def prefill(self, prefill: Prefill | None) -> None:
        self._stages.prefill = prefill

    def _see_inputs(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._inputs = {**kwargs, "input_ids": args[0]} if args else kwargs

    def _enter(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        inputs, self._inputs = self._inputs, None
        if self._stages.enter(kwargs) == 0:
            self.prefill = None if inputs is None else self._begin(inputs, kwargs)
            return None if self.prefill is None else (args, self._enter_prefill(self.prefill, kwargs))
        if not self._is_own(kwargs["past_key_values"]):
            self.prefill = None
            return None
        assert self.prefill is not None
        if inputs is not None and any(inputs.get(name) is not None for name in ("pixel_values", "pixel_values_videos")):
            raise DataError(
                "reduce_tokens: new images cannot follow a filled cache, since what they are ranked by is not in it. Give the "
                "whole conversation without past_key_values; turns='keep' leaves earlier images as they were."
            )
        return args, self._enter_later(self.prefill, kwargs)

    def _begin(self, inputs: Mapping[str, Any], kwargs: Mapping[str, Any]) -> Prefill | None:
        """Find the visual tokens; ``None`` if there are none."""
        ids = inputs.get("input_ids")
        if ids is None:
            raise DataError(
                "reduce_tokens: visual tokens are found by input_ids, got inputs_embeds alone. Give input_ids and images, or "
                "leave the block of reduce_tokens for texts."
            )
        is_visual = torch.isin(ids, torch.tensor(visual_ids(self._model.config), device=ids.device))
        if not bool(is_visual.any()):
            return None
        images = self._family.images(self._model.config, inputs, ids)
        readable = inputs.get("attention_mask")
        readable = readable if isinstance(readable, Tensor) and readable.dim() == 2 else None
        visual = visual_places(is_visual, images, readable, inputs.get("labels"), self._policy.quota)
        words = None if self._policy.turns == "without_text" else Words.of(visual.question)
        positions = kwargs.get("position_ids")
        if positions is None:
            positions = torch.arange(ids.shape[1], device=ids.device).unsqueeze(0)
        self._stages.earlier = self._remember(ids)
        return Prefill(ids, visual, words, Layout.whole(*ids.shape, device=ids.device), positions)

    def _remember(self, ids: Tensor) -> dict[int, Earlier]:
        """Return what earlier turns decided, by stage, if these sequences begin with theirs."""
        last, turns = self.prefill, self._policy.turns
        if last is None or turns not in ("union", "keep"):
            return {}
        width = last.input_ids.shape[1]
        if len(ids) != len(last.input_ids) or ids.shape[1] < width or not torch.equal(ids[:, :width], last.input_ids):
            return {}
        none = torch.zeros_like(ids, dtype=torch.bool)
        known, earlier = none.clone(), {}
        known[:, :width] = last.visual.is_visual
        for stage in last.stages:
            kept = none.clone()
            kept[:, :width] = last.kept_at(stage) & last.visual.is_visual
            earlier[stage] = Earlier(known, kept, final=turns == "keep")
        return earlier

    def _enter_prefill(self, prefill: Prefill, kwargs: dict[str, Any]) -> dict[str, Any]:
        visual = prefill.visual
        hidden = None
        if self._hidden_by_tower is not None:
            hidden = torch.zeros_like(visual.is_visual).masked_scatter(visual.is_visual, self._hidden_by_tower())
        sequence = whole_sequence(kwargs["inputs_embeds"], visual, hidden)
        if self._projected is not None:
            with self._policy.around_selection():
                sequence = choose(
                    self._projected,
                    sequence,
                    block=ENTRY,
                    words=prefill.words,
                    attention=_no_attention,
                    earlier=self._stages.earlier.get(ENTRY),
                )
        begin_stages(prefill, sequence)
        entry = prefill.entry
        if entry.is_whole:
            return kwargs
        made = {**kwargs, "inputs_embeds": sequence.states}
        made["attention_mask"] = short_mask(kwargs.get("attention_mask"), entry, replace(self._stages.call, flash=True))
        made["position_ids"] = entry.position_ids(prefill.position_ids)
        if kwargs.get("cache_position") is not None:
            made["cache_position"] = torch.arange(prefill.width, device=sequence.states.device)
        if kwargs.get("visual_pos_masks") is not None:
            made.update(_added_later(kwargs, entry))
        return made

    def _enter_later(self, prefill: Prefill, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of new tokens after a prefill that was shortened before the first layer."""
        entry, call = prefill.entry, self._stages.call
        if entry.is_whole:
            return kwargs
        mask, total = kwargs.get("attention_mask"), entry.width + call.num_later
        if isinstance(mask, Tensor) and mask.shape[-1] != total:
            raise DataError(
                f"reduce_tokens: attention_mask must cover {total} tokens, those of the prefill and all since, got "
                f"{mask.shape[-1]}. A new turn of generate on an old cache needs a selection inside the language model; "
                "give the whole conversation without past_key_values instead."
            )
        made = dict(kwargs)
        made["attention_mask"] = short_mask(mask, entry, replace(call, flash=True))
        if mask is None and entry.valid is not None:
            made["attention_mask"] = nn.functional.pad(entry.valid, (0, call.num_later), value=True)
        made["position_ids"] = prefill.next_positions(kwargs.get("position_ids"), call.num_later, call.num_new)
        if kwargs.get("cache_position") is not None:
            seen = prefill.width + call.num_later
            made["cache_position"] = torch.arange(seen - call.num_new, seen, device=entry.places.device)
        return made

    def _is_own(self, cache: Any) -> bool:
        """Return whether the last prefill filled a cache; a copy counts.

        Raises:
            DataError: It was filled under another reduction.
        """
        last, prefill = len(self._decoder.layers) - 1, self.prefill
        first_length, last_length = cache.get_seq_length(0), cache.get_seq_length(last)
        if prefill is not None:
            layout = prefill.layout_at(last)
            left = prefill.width if layout is None else layout.places.shape[1]
            is_same = prefill.cache is not None and prefill.cache() is cache
            if is_same or first_length - prefill.width == last_length - left:
                return True
        if first_length == last_length and prefill is None:
            return False
        raise DataError(
            "reduce_tokens: past_key_values must come from the last call under the same reduction, got a cache of "
            f"{first_length} tokens in the first layer and {last_length} in the last. Run the whole conversation again."
        )


def _no_attention() -> NoReturn:
    raise ComponentError(
        "reduce_tokens: a selector of projected= asks for attention, which no layer has computed there. Use it in selectors= "
        "after a layer, or one that reads features alone."
    )


def _added_later(kwargs: Mapping[str, Any], entry: Layout) -> dict[str, Any]:
    """Return features that the model adds after its first layers, for the places that are left."""
    masks = kwargs["visual_pos_masks"]
    left = entry.kept()[masks]
    added = [features[left] for features in kwargs["deepstack_visual_embeds"]]
    shown = masks.gather(1, entry.places)
    return {"visual_pos_masks": shown if entry.valid is None else shown & entry.valid, "deepstack_visual_embeds": added}
