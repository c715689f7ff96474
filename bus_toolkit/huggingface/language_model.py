"""Selection before and inside the language model of a vision-language model of transformers, by hooks alone.

Positions stay those of the whole sequence. Layers after a selection, and their caches, hold the places that are left.
The states that leave the language model have the whole width again, a place that is gone with the state of the nearest
one before it that is left, so that labels, losses and shapes of the model are as ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from bus_toolkit.errors import ComponentError, DataError
from bus_toolkit.huggingface.callers import Callers
from bus_toolkit.huggingface.choosing import Site, choose
from bus_toolkit.huggingface.decoder_arguments import for_later, for_prefill
from bus_toolkit.huggingface.families import Family
from bus_toolkit.huggingface.image_grids import visual_ids
from bus_toolkit.huggingface.layer_stages import LayerStages
from bus_toolkit.huggingface.packed import check_not_packed
from bus_toolkit.huggingface.policy import Policy
from bus_toolkit.huggingface.prefill import ENTRY, Prefill, whole_sequence
from bus_toolkit.huggingface.turns import Conversation
from bus_toolkit.huggingface.visual_places import visual_places
from bus_toolkit.huggingface.words import Words
from bus_toolkit.selectors.base import PatchSelector


class LanguageModelReduction:
    """Hooks that shorten the sequence in a language model.

    Args:
        model: The vision-language model.
        family: Its family.
        decoder: Its language model.
        projected: What selects before the first layer, or ``None``.
        inside: What selects after layers, by their numbers from 1.
        after_tower: Whether a tower drops visual tokens, whose features are zeros then.
        policy: How selection goes on beyond one image and one question.

    Attributes:
        conversation: What turns leave to the next.
    """

    def __init__(
        self,
        model: nn.Module,
        family: Family,
        decoder: Any,
        *,
        projected: PatchSelector | None,
        inside: Mapping[int, PatchSelector],
        after_tower: bool,
        policy: Policy,
    ) -> None:
        self._config: Any = model.config
        self._family, self._decoder, self._policy = family, decoder, policy
        self._projected, self._after_tower = projected, after_tower
        self._first = 0 if after_tower or projected is not None else min(inside)
        self._callers, self._stages = Callers(model, decoder), LayerStages(decoder, inside, policy.around_selection)
        self.conversation = Conversation(policy.turns)

    @classmethod
    def is_in(cls, decoder: nn.Module) -> bool:
        """Return whether a language model, or the one that it is a copy of, is reduced."""
        return any(isinstance(getattr(hook, "__self__", None), cls) for hook in decoder._forward_pre_hooks.values())

    @property
    def prefill(self) -> Prefill | None:
        """The last prefill; ``None`` before the first, and after one without images."""
        return self._stages.prefill

    def install(self) -> list[RemovableHandle]:
        """Put the hooks in and return their handles."""
        return [
            *self._callers.install(),
            self._decoder.register_forward_pre_hook(self._enter, with_kwargs=True),
            self._decoder.register_forward_hook(self._leave),
            *self._stages.install(self._first),
        ]

    def close(self) -> None:
        """Let go of attention functions; hooks are taken out by their handles."""
        self._stages.close()

    def _enter(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if module is not self._decoder:
            raise ComponentError(
                f"reduce_tokens: {type(module).__name__} is a copy of the one that was reduced, as in DataParallel. "
                "Reduce each copy, or use one process for each GPU."
            )
        callers = self._callers.arguments()
        now = self._stages.enter({"input_ids": args[0], **kwargs} if args else kwargs)
        if now.call.num_new:
            self._check_no_images(callers, now.call.num_new)
            return None if now.prefill is None else (args, for_later(kwargs, callers, now.prefill, now.call))
        if args or kwargs.get("inputs_embeds") is None:  # the language model by itself, for a text
            self._stages.begin(None)
            return None
        prefill = self._begin(callers, kwargs)
        self._stages.begin(prefill)
        return None if prefill is None else (args, self._enter_prefill(prefill, callers, kwargs))

    def _begin(self, callers: Mapping[str, Any], kwargs: Mapping[str, Any]) -> Prefill | None:
        """Find the visual tokens; ``None`` if there are none."""
        embeds, ids = kwargs["inputs_embeds"], callers.get("input_ids")
        if ids is None or ids.shape != embeds.shape[:2]:
            got = "inputs_embeds alone" if ids is None else f"{ids.shape[1]} ids for {embeds.shape[1]} embeddings"
            raise DataError(
                f"reduce_tokens: visual tokens are found by input_ids, got {got}. Give input_ids and images, or leave "
                "the block of reduce_tokens for texts."
            )
        ids = ids.to(embeds.device)
        is_visual = torch.isin(ids, torch.tensor(visual_ids(self._config), device=ids.device))
        if not bool(is_visual.any()):
            return None
        readable, labels = callers.get("attention_mask"), callers.get("labels")
        if not isinstance(readable, Tensor) or readable.dim() != 2:
            readable = None
        visual = visual_places(
            is_visual,
            self._family.images(self._config, callers, ids),
            readable=None if readable is None else readable.to(ids.device),
            labels=None if labels is None else labels.to(ids.device),
            quota=self._policy.quota,
        )
        words = None if self._policy.turns == "without_text" else Words.of(visual.question)
        positions = kwargs.get("position_ids")
        check_not_packed(callers, positions, visual.readable)
        if positions is None:
            positions = torch.arange(ids.shape[1], device=ids.device).unsqueeze(0)
        self._stages.earlier = self.conversation.begin(ids, visual, embeds)
        return Prefill.of(visual, words, positions)

    def _enter_prefill(self, prefill: Prefill, callers: Mapping[str, Any], kwargs: dict[str, Any]) -> dict[str, Any]:
        embeds, hidden = kwargs["inputs_embeds"], None
        if self._after_tower:
            _check_images(callers)
            hidden = prefill.visual.is_visual & ~embeds.detach().any(dim=-1)
        sequence = before = whole_sequence(embeds, prefill.visual, hidden)
        decisions = None
        if self._projected is not None:
            site = Site(ENTRY, _no_attention, prefill.words, earlier=self._stages.earlier.get(ENTRY))
            with self._policy.around_selection():
                decisions = choose(self._projected, sequence, site)
                sequence = sequence.after(decisions, ENTRY)
        prefill.enter(sequence)
        return for_prefill(kwargs, prefill, before, decisions, sequence.states)

    def _check_no_images(self, callers: Mapping[str, Any], num_new: int) -> None:
        ids = callers.get("input_ids")
        visual = torch.tensor(visual_ids(self._config))
        # Of one new token it is not asked: looking at a device stops it.
        has_images = num_new > 1 and ids is not None and bool(torch.isin(ids.cpu(), visual).any())
        if has_images or any(callers.get(name) is not None for name in ("pixel_values", "pixel_values_videos")):
            raise DataError(
                "reduce_tokens: new images cannot follow a filled cache, since what they are ranked by is not in it. "
                "Give the whole conversation without past_key_values; turns='keep' leaves earlier images as they were."
            )

    def _leave(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        self.conversation.end(self._stages.prefill)


def _check_images(callers: Mapping[str, Any]) -> None:
    # ``generate`` of transformers 5 encodes images before it calls the model.
    if callers.get("pixel_values") is None and not callers.get("mm_encoder_outputs"):
        raise DataError(
            "reduce_tokens: vision= needs pixel_values in the call, got image tokens alone. Give the images with the "
            "text."
        )


def _no_attention() -> NoReturn:
    raise ComponentError(
        "reduce_tokens: a selector of projected= asks for attention, which no layer has computed there. Use it in "
        "selectors= after a layer, or one that reads features alone."
    )
