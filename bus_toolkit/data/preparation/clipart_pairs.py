"""Clean pairs of clip art, and their split into train, validation and test."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from bus_toolkit.data.preparation.clipart_texts import ClipartText

MOST_ALIKE = 20
"""So many pictures of one text are kept: 1,375 stars differ in nothing that their text says."""


@dataclass(frozen=True)
class ClipartPair:
    """A picture by its path, its text, where the text comes from, and a checksum of its pixels."""

    path: str
    text: str
    source: str
    pixels: str


@dataclass(frozen=True)
class CleanPairs:
    """The pairs that are left, and how many were left out for which reason."""

    pairs: list[ClipartPair]
    left_out: Counter[str]


def clean_pairs(texts: Mapping[str, ClipartText], pixels: Mapping[str, str], *, titles_only: bool) -> CleanPairs:
    """Return one pair for each different picture with a text.

    Of equal pictures that with a title stays, then the first by path. Of pictures of one text ``MOST_ALIKE`` stay.

    Args:
        texts: Path to text.
        pixels: Path to checksum of the pixels; paths that are missing here have no readable picture.
        titles_only: Leave out texts that come from file names.
    """
    left_out: Counter[str] = Counter()
    pairs = []
    seen: set[str] = set()
    alike: Counter[str] = Counter()
    for path in sorted(texts, key=lambda p: (texts[p].source != "title", _order(p))):
        text = texts[path]
        if path not in pixels:
            left_out["no readable picture"] += 1
        elif titles_only and text.source != "title":
            left_out["title names a collection"] += 1
        elif pixels[path] in seen:
            left_out["same picture as another"] += 1
        elif alike[text.text.casefold()] == MOST_ALIKE:
            left_out[f"text of {MOST_ALIKE} others"] += 1
        else:
            seen.add(pixels[path])
            alike[text.text.casefold()] += 1
            pairs.append(ClipartPair(path, text.text, text.source, pixels[path]))
    return CleanPairs(sorted(pairs, key=lambda pair: pair.path), left_out)


def split_pairs(pairs: Iterable[ClipartPair], *, num_test: int, num_val: int) -> dict[str, list[ClipartPair]]:
    """Return the pairs of ``test``, ``val`` and ``train``, each in the order of a hash of their paths.

    Held out are pictures whose title no other pair has, so that each has one right answer and its text is unseen; which
    ones follows from the hashes. Equal pictures were removed before, so the splits share neither pictures nor texts.

    Raises:
        ValueError: There are too few pairs.
    """
    ordered = sorted(pairs, key=lambda pair: _order(pair.path))
    times = Counter(pair.text.casefold() for pair in ordered)
    unique = [pair for pair in ordered if pair.source == "title" and times[pair.text.casefold()] == 1]
    if len(unique) < num_test + num_val or len(ordered) == num_test + num_val:
        raise ValueError(
            f"{len(unique)} of {len(ordered)} pairs have a title of their own, {num_test} + {num_val} are to be held "
            "out and some must be left to train on"
        )
    test, val = unique[:num_test], unique[num_test : num_test + num_val]
    held_out = {pair.path for pair in (*test, *val)}
    return {"train": [pair for pair in ordered if pair.path not in held_out], "val": val, "test": test}


def count_sources(splits: Mapping[str, Iterable[ClipartPair]]) -> Iterator[tuple[str, int]]:
    """Yield the counts of each split for the manifest: pairs, pairs with titles, and different texts."""
    for split, pairs in splits.items():
        listed = list(pairs)
        yield f"{split}: pairs", len(listed)
        yield f"{split}: text is a title", sum(pair.source == "title" for pair in listed)
        yield f"{split}: different texts", len({pair.text.casefold() for pair in listed})


def _order(path: str) -> str:
    return hashlib.sha256(path.encode()).hexdigest()
