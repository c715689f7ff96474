"""The loss of sequences that are shortened by hand, one after the other, without a hook that changes anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bus_toolkit.huggingface.families import decoder_of


def loss_by_hand(model: Any, inputs: Mapping[str, Any], kept: Mapping[int, Tensor]) -> Tensor:
    """Return the mean cross-entropy of all labels.

    Args:
        model: A model that is not reduced.
        inputs: Its arguments, ``labels`` among them.
        kept: Which places are left after each stage, bool (B, W), by the number of the layer before.
    """
    decoder, first = decoder_of(model), min(kept)
    states, given, added = _entering(model, inputs, first)
    loss, labels = torch.zeros(()), inputs["labels"]
    for row in range(len(labels)):
        places = inputs["attention_mask"][row].nonzero().squeeze(1)
        own = states[row, places]
        for number in range(first, len(decoder.layers)):
            if number in kept:
                stays = kept[number][row, places]
                own, places = own[stays], places[stays]
            own = _run(decoder.layers[number], own, _of_row(given, row, places))
            if number < len(added):
                own = own + added[number][row, places]
        scores = model.get_output_embeddings()(decoder.norm(own))
        wanted = labels[row, places]
        # The state of a place says the next one; that of an answer's first token is a word of the question.
        is_wanted = wanted != -100
        loss = loss + F.cross_entropy(scores[:-1][is_wanted[1:]], wanted[is_wanted], reduction="sum")
    return loss / int((labels != -100).sum())


def _entering(model: Any, inputs: Mapping[str, Any], number: int) -> tuple[Tensor, dict[str, Any], list[Tensor]]:
    """Return what layer ``number`` of the untouched model is given: states, arguments, and what is added later."""
    decoder, seen = decoder_of(model), dict[str, Any]()

    def layer(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        seen.update(kwargs, hidden_states=args[0] if args else kwargs["hidden_states"])

    def whole(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        places, features = kwargs.get("visual_pos_masks"), kwargs.get("deepstack_visual_embeds") or []
        zeros = torch.zeros_like(kwargs["inputs_embeds"])
        seen["added"] = [zeros.masked_scatter(places.unsqueeze(-1), one) for one in features]

    handles = [
        decoder.layers[number].register_forward_pre_hook(layer, with_kwargs=True),
        decoder.register_forward_pre_hook(whole, with_kwargs=True),
    ]
    model(**inputs)
    for handle in handles:
        handle.remove()
    return seen.pop("hidden_states"), seen, seen.pop("added")


def _of_row(given: Mapping[str, Any], row: int, places: Tensor) -> dict[str, Any]:
    """Return the arguments of one row for some of its places: rotary tables and a mask of pairs."""

    def table(whole: Tensor) -> Tensor:  # (B or 1, W, E), or one for each of three axes before
        number = row if whole.shape[-3] > 1 else 0
        return whole[..., number : number + 1, :, :][..., places, :]

    mask = given.get("attention_mask")
    if mask is None:
        pairs = (places[:, None] >= places)[None, None]
    else:
        number = row if mask.shape[0] > 1 else 0
        pairs = mask[number : number + 1, :, places][..., places]
    return {"attention_mask": pairs, "position_embeddings": tuple(map(table, given["position_embeddings"]))}


def _run(layer: Any, states: Tensor, arguments: dict[str, Any]) -> Tensor:
    out = layer(states.unsqueeze(0), **arguments)
    return (out[0] if isinstance(out, tuple) else out).squeeze(0)
