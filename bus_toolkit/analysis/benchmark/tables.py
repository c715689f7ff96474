"""The tables of a benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table

from bus_toolkit.analysis.benchmark.results import per_sample, short_tokens

Row = Mapping[str, Any]


def benchmark_tables(
    rows: Sequence[Row], accuracy: Mapping[str, float], batch_size: int, *, texts_per_image: int = 1
) -> Group:
    """Return the sizes and the measured costs of the models, as two tables.

    Args:
        rows: Results of ``Measured.to_dict``.
        accuracy: Figures by model name; without any there is no such column.
        batch_size: Images of a step.
        texts_per_image: Texts of each; with several, costs are those of one.
    """
    samples, several = batch_size * texts_per_image, texts_per_image > 1
    work = _work(rows, samples, f"GMAC {per_sample(texts_per_image)}")
    return Group(work, "", _cost(rows, accuracy, samples, f"{'texts' if several else 'images'}\nper s"), "")


def _work(rows: Sequence[Row], samples: int, cost: str) -> Table:
    shown = _table("M parameters", cost, "of it selection", "visual tokens after blocks > decoder")
    for row in rows:
        macs = [f"{count / 1e9 / samples:.2f}" for count in (sum(row["macs"].values()), row["macs"]["selection"])]
        shown.add_row(row["name"], f"{row['parameters'] / 1e6:.1f}", *macs, short_tokens(row["tokens"]))
    return shown


def _cost(rows: Sequence[Row], accuracy: Mapping[str, float], samples: int, speed: str) -> Table:
    heads = [
        "forward\nms",
        "forward\nspeed-up",
        "of vision,\nselection %",
        "step\nms",
        speed,
        "step\nspeed-up",
        "promised\nby MACs",
    ]
    heads += ["measured /\npromised", "peak\nMiB", "of the\nunpruned", *(["accuracy"] if accuracy else [])]
    shown = _table(*heads)
    for row in rows:
        figures = [
            f"{1e3 * row['forward_seconds']:.0f}",
            _ratio(row, "forward"),
            f"{100 * row['selection_share']:.1f}",
            f"{1e3 * row['step_seconds']:.0f}",
            f"{samples / row['step_seconds']:.1f}",
            _ratio(row, "step"),
            f"{row['promised_step']:.2f}",
            f"{row['efficiency']:.2f}",
            f"{row['peak_bytes'] / 2**20:.0f}",
            f"{row['memory_ratio']:.2f}",
        ]
        if accuracy:
            figures.append(f"{accuracy[row['name']]:.3f}" if row["name"] in accuracy else "-")
        shown.add_row(row["name"], *figures)
    return shown


def _ratio(row: Row, work: str) -> str:
    least, most = row[f"{work}_range"]
    return f"{row[f'{work}_speed_up']:.2f} ({least:.2f}-{most:.2f})"


def _table(*columns: str) -> Table:
    shown = Table(box=box.SIMPLE_HEAD, show_edge=False, header_style="dim")
    shown.add_column("model", overflow="fold")
    for column in columns:
        shown.add_column(column, justify="left" if column.startswith("visual") else "right")
    return shown
