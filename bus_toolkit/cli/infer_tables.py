"""Results of an ``Inferencer`` as tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bus_toolkit.safe_text import safe_lines

MOST_SHOWN = 20


def tables(command: str, results: Any, images: Sequence[str], texts: Sequence[str]) -> list[RenderableType]:
    """Return the first results as tables: of ``retrieve`` one a direction that ranks anything, else one.

    Among a single text nothing is ranked, and many images beside it would hide the answer; the same for a single image.

    Args:
        command: A method of ``Inferencer``.
        results: Its results; those of ``retrieve`` by direction.
        images: Names of all images.
        texts: All texts.
    """
    if command != "retrieve":
        return [_table(None, [_row(command, entry) for entry in results])]
    shown: list[RenderableType] = []
    is_both = len(results) == 2 and len(images) != len(texts)
    if "i2t" in results and not (is_both and len(texts) == 1):
        rows = [{"image": images[query], "text": hit["text"]} | _figures(hit) for query, hit in _hits(results["i2t"])]
        shown.append(_table("image to text", rows))
    if "t2i" in results and not (is_both and len(images) == 1):
        rows = [{"text": texts[query], "image": hit["image"]} | _figures(hit) for query, hit in _hits(results["t2i"])]
        shown.append(_table("text to image", rows))
    return shown


def _hits(rankings: list[list[dict[str, Any]]]) -> list[tuple[int, dict[str, Any]]]:
    return [(query, hit) for query, hits in enumerate(rankings) for hit in hits]


def _figures(entry: dict[str, Any]) -> dict[str, str]:
    match = {"match": "-" if entry["match"] is None else f"{entry['match']:.3f}"} if "match" in entry else {}
    return {"cosine": f"{entry['score']:.3f}"} | match


def _row(command: str, entry: dict[str, Any]) -> dict[str, str]:
    if command == "ground":
        return {
            "image": entry["image"],
            "expression": entry["expression"],
            "left, top, right, bottom": ", ".join(f"{side:.1f}" for side in entry["box"]),
            "score": f"{entry['score']:.3f}",
        }
    if command == "classify":
        others = [f"{one['class']} {one['probability']:.3f}" for one in entry["classes"][1:]]
        return {
            "image": entry["image"],
            "class": entry["class"],
            "probability": f"{entry['probability']:.3f}",
            "then": ", ".join(others),
        }
    if command == "explain":
        kept = sum(map(sum, entry["kept"]))
        model = {"model": entry["model"]} if "model" in entry else {}
        return model | {
            "image": entry["image"],
            "text": entry["text"] or "(no text)",
            "patches kept": f"{kept}/{entry['grid'][0] * entry['grid'][1]}",
            "tokens": ", ".join(f"{stage} {count}" for stage, count in entry["tokens"].items()),
            "picture": entry["picture"],
        }
    return {key: f"{value:.3f}" if isinstance(value, float) else str(value) for key, value in entry.items()}


def _table(title: str | None, rows: Sequence[dict[str, str]]) -> RenderableType:
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="dim",
        box=box.SIMPLE_HEAD,
        show_edge=False,
    )
    for column in rows[0]:
        table.add_column(column, overflow="fold")
    for row in rows[:MOST_SHOWN]:
        # Not as markup: a caption may hold square brackets.
        table.add_row(*(Text(safe_lines(value)) for value in row.values()))
    if len(rows) <= MOST_SHOWN:
        return table
    # Not the table's own caption, which would be broken to its width.
    return Group(table, Text(f" ... and {len(rows) - MOST_SHOWN} more rows; --out writes all.", style="dim"))
