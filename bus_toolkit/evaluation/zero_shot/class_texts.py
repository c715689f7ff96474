"""Names of classes in sentences, encoded: one feature a class.

Dims: C classes, T templates, E width of the features.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bus_toolkit.blank_texts import is_blank
from bus_toolkit.errors import ConfigError, DataError, describe
from bus_toolkit.heads.base import need_head
from bus_toolkit.heads.itc import ITCHead
from bus_toolkit.tokenizers import TextTokenizer

TEMPLATES = ("a photo of a {}.",)
"""The sentence of openai/CLIP:README.md; its list of 80 for ImageNet (notebooks/) can be given in its place."""
_PLACE = "{}"


def checked_templates(templates: str | Sequence[str], location: str) -> tuple[str, ...]:
    """Return one or several templates.

    Args:
        templates: Sentences with ``{}`` in the place of the name.
        location: The setting, for messages.

    Raises:
        ConfigError: None, or one that does not hold ``{}`` once.
    """
    given = (templates,) if isinstance(templates, str) else tuple(templates)
    if not given:
        raise ConfigError(f"{location}: needs at least one, got none. Write e.g. {TEMPLATES[0]!r}.")
    for position, template in enumerate(given):
        if not isinstance(template, str) or template.count(_PLACE) != 1:
            raise ConfigError(
                f"{location}[{position}]: must hold {{}} once, in the place of the name of a class, got {template!r}. "
                f"Write e.g. {TEMPLATES[0]!r}."
            )
    return given


def checked_names(names: Sequence[str], location: str) -> list[str]:
    """Return the names of classes, of which two or more are needed.

    Raises:
        DataError: Fewer, a name that is no text or has no word, or one that is there twice.
    """
    if isinstance(names, str) or len(names) < 2:
        given = describe(names) if isinstance(names, str) else len(names)
        raise DataError(f"{location}: needs the names of at least two classes, got {given}. Give a list of names.")
    for position, name in enumerate(names):
        if not isinstance(name, str) or is_blank(_in_words(name)):
            raise DataError(f"{location}[{position}]: must be a name with at least one word, got {name!r}.")
    twice = [name for name, count in Counter(map(_in_words, names)).items() if count > 1]
    if twice:
        raise DataError(f"{location}: {twice[0]!r} is there twice, and two classes of one name look alike. Rename one.")
    return [name.strip() for name in names]


def class_sentences(names: Sequence[str], templates: Sequence[str]) -> list[str]:
    """Return the sentences of each class, those of a class next to each other.

    Underscores of a name are spaces in them (ours: folders are often named so, and no caption is written so).
    """
    return [template.replace(_PLACE, _in_words(name)) for name in names for template in templates]


def _in_words(name: str) -> str:
    return " ".join(name.replace("_", " ").split())


def refuse_alike(tokenizer: Any, names: Sequence[str], templates: Sequence[str], location: str) -> None:
    """Refuse names that are the same to the tokenizer in every sentence: which of them is nearest would be arbitrary.

    Args:
        tokenizer: Of the model; one that is no ``TextTokenizer`` is not asked.
        names: C names, checked.
        templates: T templates, checked.
        location: The setting, for messages.

    Raises:
        DataError: Two of them are.
    """
    if not isinstance(tokenizer, TextTokenizer):
        return
    alike: set[tuple[str, str]] | None = None
    for template in templates:
        names_of = dict(zip(class_sentences(names, [template]), names, strict=True))
        pairs = {(names_of[first], names_of[second]) for first, second in tokenizer.same_ids(list(names_of))}
        alike = pairs if alike is None else alike & pairs
        if not alike:
            return
    first, second = min(alike or ())
    raise DataError(
        f"{location}: the tokenizer cannot distinguish {first!r} and {second!r}, whose words it does not know or which "
        f"are cut after {tokenizer.max_length} tokens. Rename one, or take a vocabulary with their words."
    )


@torch.no_grad()
def class_feats(model: Any, names: Sequence[str], templates: Sequence[str], *, batch_size: int = 256) -> Tensor:
    """Return the feature of each class: the mean of the normalised features of its sentences, normalised again.

    As openai/CLIP:notebooks/Prompt_Engineering_for_ImageNet.ipynb and mlfoundations/open_clip:src/open_clip/
    zero_shot_classifier.py. No image takes part, so that they are computed once for all images.

    Args:
        model: A bare model with an ITC head, in eval mode.
        names: C names.
        templates: T templates.
        batch_size: Sentences encoded at a time.

    Returns:
        float32 or float64 (C, E) on the model's device, of length 1.

    Raises:
        ComponentError: The model has no ITC head.
    """
    head, encoders = need_head(model.heads, ITCHead, "zero-shot classification"), model.encoders
    texts = class_sentences(names, templates)
    chunks = [texts[start : start + batch_size] for start in range(0, len(texts), batch_size)]
    encoded = (encoders.text_alone(encoders.encode_text(encoders.tokenize(chunk))) for chunk in chunks)
    feats = torch.cat([head.text_feats(text) for text in encoded])
    return F.normalize(feats.unflatten(0, (len(names), len(templates))).mean(dim=1), dim=1)  # (C, T, E) -> (C, E)
