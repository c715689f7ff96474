"""Where the parts of a model come from, by their own docstrings: each says what is sourced and what is our choice."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

from bus_toolkit.registry import REGISTRIES

SOURCED = (
    "The papers' full texts were not readable to the authors of the toolkit. Of BUS (arXiv 2307.08504), COPA, TRIPS\n"
    "and PRIOR the parts are sourced; their formulas and numbers are reconstructions. Other methods are written from\n"
    "public code. The parts of this model, and what their documentation says about sources and choices:"
)
_SAYS = re.compile(r"arXiv|\w+/[\w.-]+:[\w/]+\.py|reconstruct|our (own )?(choice|addition)|\[our|not readable|^Ours:")
_SENTENCE = re.compile(r"(?<=\.)\s+(?=[A-Z`])")


def sources_of(model: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield each registered part of a ``model`` section: its path and type, its first sentence, those on sources."""
    for registry in REGISTRIES.all():
        node = model.get(registry.slot)
        for place, part in _nodes(node, f"model.{registry.slot}"):
            kind = str(part["type"])
            yield place, kind, _said(inspect.getdoc(registry.get(kind, place).cls) or "")


def _nodes(node: Any, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield one part, each of a list, or each of a mapping of names."""
    if isinstance(node, Mapping) and "type" in node:
        yield path, node
        return
    entries = node.items() if isinstance(node, Mapping) else enumerate(node or ())
    for key, part in entries:
        if isinstance(part, Mapping) and "type" in part:
            yield f"{path}.{key}", part


def _said(doc: str) -> str:
    """Return the first sentence of a docstring, and those of its text above the arguments that speak of sources."""
    about = re.split(r"\n\n(?:Args|Attributes|Raises|Example)s?:", doc)[0]
    sentences = [" ".join(sentence.replace("``", "`").split()) for sentence in _SENTENCE.split(about)]
    first, *rest = sentences or [""]
    return " ".join([first, *(sentence for sentence in rest if _SAYS.search(sentence))])
