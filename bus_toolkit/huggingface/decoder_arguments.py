"""Arguments of a language model, for what is left of its input before the first layer."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Listed
from typing import Any

import torch
from torch import Tensor

from bus_toolkit.errors import DataError
from bus_toolkit.huggingface.attention_masks import Call, mask_of_keys, short_mask
from bus_toolkit.huggingface.layout import Layout
from bus_toolkit.huggingface.prefill import ENTRY, Prefill
from bus_toolkit.huggingface.sequence import Sequence
from bus_toolkit.structures import Decision


def for_prefill(
    arguments: Mapping[str, Any], prefill: Prefill, before: Sequence, decisions: Listed[Decision] | None, states: Tensor
) -> dict[str, Any]:
    """Return the arguments of a prefill.

    Args:
        arguments: Those of the whole sequence.
        prefill: What is known of it.
        before: The sequence before the selection.
        decisions: What was selected before the first layer; ``None``: nothing was asked.
        states: (B, w, D), what is left.
    """
    entry = prefill.entry
    made = {**arguments, "inputs_embeds": states}
    if entry.is_whole:
        return made
    made["attention_mask"] = _mask_of_prefill(arguments.get("attention_mask"), entry)
    made["position_ids"] = entry.position_ids(prefill.position_ids)
    if arguments.get("cache_position") is not None:
        made["cache_position"] = torch.arange(prefill.width, device=states.device)
    masks, added = arguments.get("visual_pos_masks"), arguments.get("deepstack_visual_embeds")
    if masks is not None and added is not None and decisions is not None:
        made["visual_pos_masks"] = shown = entry.of_places(masks)
        # What is merged or fused is so in these features, too.
        whole = (before.states.new_zeros(before.states.shape).masked_scatter(masks.unsqueeze(2), one) for one in added)
        made["deepstack_visual_embeds"] = [
            before.with_states(one).after(decisions, ENTRY).states[shown] for one in whole
        ]
    return made


def for_later(arguments: Mapping[str, Any], callers: Mapping[str, Any], prefill: Prefill, call: Call) -> dict[str, Any]:
    """Return the arguments of new tokens after a prefill.

    Args:
        arguments: Those that the model made, which may count the shortened cache.
        callers: What the model was called with.
        prefill: The prefill.
        call: Which tokens are new.

    Raises:
        DataError: A mask of another width than that of all tokens.
    """
    entry = prefill.entry
    made = dict(arguments)
    if entry.is_whole:
        return made
    mask = callers.get("attention_mask")
    mask = mask if isinstance(mask, Tensor) and mask.dim() == 2 else arguments.get("attention_mask")
    total = entry.width + call.num_later
    if isinstance(mask, Tensor) and mask.shape[-1] != total:
        raise DataError(
            f"reduce_tokens: attention_mask must cover {total} tokens, those of the prefill and all since, got "
            f"{mask.shape[-1]}. A new turn of generate on an old cache needs a selection inside the language model "
            "(selectors=), not before it; or give the whole conversation without past_key_values. Assisted decoding "
            "and prompt lookup cannot be used."
        )
    made["attention_mask"] = _mask_of_later(mask, entry, call)
    made["position_ids"] = prefill.next_positions(arguments.get("position_ids"), call.num_later, call.num_new)
    if arguments.get("cache_position") is not None:
        seen = prefill.width + call.num_later
        made["cache_position"] = torch.arange(seen - call.num_new, seen, device=entry.places.device)
    return made


def _mask_of_prefill(mask: Any, entry: Layout) -> Any:
    if mask is not None and not (isinstance(mask, Tensor) and mask.dim() == 2):
        return short_mask(mask, entry, Call())
    # Without a mask, transformers takes positions with gaps for several samples packed into one row.
    everything = torch.ones(len(entry.places), entry.width, dtype=torch.int64, device=entry.places.device)
    return mask_of_keys(everything if mask is None else mask, entry)


def _mask_of_later(mask: Any, entry: Layout, call: Call) -> Any:
    if mask is None and entry.valid is not None:
        total = entry.width + call.num_later
        mask = torch.ones(len(entry.places), total, dtype=torch.int64, device=entry.places.device)
    if mask is None:
        return None
    if isinstance(mask, Tensor) and mask.dim() == 2:
        return mask_of_keys(mask.to(entry.places.device), entry)
    return short_mask(mask, entry, call)
