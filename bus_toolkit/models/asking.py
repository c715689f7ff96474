"""What a user asks a model in Python: images and texts are checked, then encoded, compared or matched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from bus_toolkit.backbones.check_inputs import check_images
from bus_toolkit.blank_texts import is_blank
from bus_toolkit.errors import ComponentError, DataError, describe
from bus_toolkit.heads.base import need_head
from bus_toolkit.heads.itc import ITCHead
from bus_toolkit.heads.itm import ITMHead
from bus_toolkit.structures import SharedTokens, TextTokens, VisualTokens

Texts = str | Sequence[str]
"""One text, or one an image."""
_Rows = TypeVar("_Rows", SharedTokens, TextTokens)


def encode(model: Any, images: Tensor, texts: Texts | None) -> VisualTokens:
    """Return the visual tokens of images under a text each; see ``VLPModel.encode``."""
    check_images(images, model.backbone.adapter)
    if texts is None:
        return model.encoders.encode_reduced(
            model.encoders.encode_shared(images), model.encoders.free_text(len(images))
        )
    words = listed_texts(texts)
    if not model.encoders.selects_by_text:
        raise ComponentError(
            "VLPModel.encode: no selector and no decoder of this model reads a text, got texts, which would change "
            "nothing. Leave them out; heads read texts: model.similarity, model.match, model.loss."
        )
    count = _count(images, words)
    shared = _spread(model.encoders.encode_shared(images), count)
    return model.encoders.encode_reduced(shared, _spread(_encoded(model, words), count))


def similarity(model: Any, images: Tensor, texts: Texts) -> Tensor:
    """Return the cosine of each image with each text; see ``VLPModel.similarity``."""
    head, words = need_head(model.heads, ITCHead, "VLPModel.similarity"), listed_texts(texts)
    text = model.encoders.text_alone(_encoded(model, words))
    return head.image_feats(encode(model, images, None)) @ head.text_feats(text).T


def match(model: Any, images: Tensor, texts: Texts) -> Tensor:
    """Return how probable it is that each image and its text belong together; see ``VLPModel.match``."""
    head, words = need_head(model.heads, ITMHead, "VLPModel.match"), listed_texts(texts)
    check_images(images, model.backbone.adapter)
    count = _count(images, words)
    text = _spread(_encoded(model, words), count)
    return head.match_logits(model.encoders.fuse(text, _visual(model, images, text, count), first_only=True)).sigmoid()


def listed_texts(texts: Texts) -> list[str]:
    """Return one or several texts as a list.

    Raises:
        DataError: No list, an empty one, a text that is no string, or one without a word.
    """
    if not isinstance(texts, Iterable):
        raise DataError(f"texts: must be a text or a list of texts, got {describe(texts)}.")
    words = [texts] if isinstance(texts, str) else list(texts)
    if not words:
        raise DataError("texts: needs at least one, got none. Give a text, or a list of one text an image.")
    for position, text in enumerate(words):
        if not isinstance(text, str) or is_blank(text):
            raise DataError(f"texts[{position}]: must be a string with at least one word, got {text!r}.")
    return words


def _count(images: Tensor, texts: list[str]) -> int:
    """Return the number of pairs: a single image or text goes with all of the other.

    Raises:
        DataError: Unequal numbers, both above one.
    """
    if len(images) != len(texts) and 1 not in (len(images), len(texts)):
        raise DataError(
            f"images and texts: must be equally many, or one image, or one text, got {len(images)} and {len(texts)}. "
            "Repeat those that belong to several."
        )
    return max(len(images), len(texts))


def _encoded(model: Any, words: list[str]) -> TextTokens:
    return model.encoders.encode_text(model.encoders.tokenize(words))


def _visual(model: Any, images: Tensor, text: TextTokens, count: int) -> VisualTokens:
    return model.encoders.encode_visual(_spread(model.encoders.encode_shared(images), count), text)


def _spread(rows: _Rows, count: int) -> _Rows:
    """Return a single row ``count`` times, and several as they are."""
    held = rows.embeds if isinstance(rows, TextTokens) else rows.tokens
    return rows if len(held) == count else rows.index(torch.zeros(count, dtype=torch.long, device=held.device))
