"""Who fills in which argument of a part: one table for the checks, the builders and ``describe parts``.

A part that names one of these arguments in its constructor gets the value from the model that it is built into; a YAML
node may still give another one.
"""

from __future__ import annotations

from collections.abc import Mapping

ARGUMENTS: Mapping[str, str] = {
    "vocab_size": "entries of the tokenizer's vocabulary",
    "pad_token_id": "id of the tokenizer's [PAD]",
    "vocabulary": "all ids of the tokenizer, as one Vocabulary",
    "embed_dim": "width of the backbone's tokens",
    "text_dim": "width of the text encoder's tokens",
    "patch_size": "distance of two patches of the backbone, in pixels",
}

_VOCABULARY = frozenset({"vocab_size", "pad_token_id"})
_WIDTHS = frozenset({"embed_dim", "text_dim"})
# Model type -> key under `model` -> arguments. Each key may only ask for what is built before it.
_BY_MODEL: Mapping[str, Mapping[str, frozenset[str]]] = {
    "VLPModel": {
        "tokenizer": frozenset(),
        "text_encoder": _VOCABULARY,
        "backbone": frozenset(),
        "selectors": _WIDTHS,
        "decoder": _WIDTHS,
        "prior": _WIDTHS,
        "fusion": _WIDTHS,
        "text_decoder": _VOCABULARY | _WIDTHS,
        "heads": _WIDTHS | {"patch_size", "vocabulary"},
    },
    # Texts are as wide as the states of the language model, and selectors in it see tokens of that width.
    "CausalVLM": {
        "tokenizer": frozenset(),
        "backbone": frozenset(),
        "language_model": _VOCABULARY,
        "vision_selectors": _WIDTHS,
        "decoder": _WIDTHS,
        "selectors": _WIDTHS,
    },
    # It has no other part that a width could come from.
    "CaptionLanguageModel": {"tokenizer": frozenset(), "text_decoder": _VOCABULARY},
}


def provided_to(slot: str, model: str = "VLPModel") -> frozenset[str]:
    """Return the arguments that a builder fills in for the part under ``model.<slot>`` of that type of model."""
    return _BY_MODEL[model][slot]
