"""Draw a benchmark: promised and measured speed-up, where the MACs go, and accuracy where it is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bus_toolkit.visualization.canvas import CYCLE, GRID, INK, MUTED, in_one_style, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@in_one_style
def draw_benchmark(rows: Sequence[Mapping[str, Any]], accuracy: Mapping[str, float], samples: int, out: Path) -> Path:
    """Draw one line a model and return the PNG.

    Args:
        rows: What ``Measured.to_dict`` returns, in the order of the table.
        accuracy: Figures by model name; models without one are left out of that plot.
        samples: Texts of a step, each with its image; MACs are drawn for one.
        out: Where to.
    """
    known = [row for row in rows if row["name"] in accuracy]
    figure = new_figure(15.0 if known else 11.0, 1.4 + 0.42 * len(rows))
    columns = 3 if known else 2
    speed = figure.add_subplot(1, columns, 1)
    _draw_speed(speed, rows)
    macs = figure.add_subplot(1, columns, 2, sharey=speed)
    _draw_macs(macs, rows, samples)
    macs.tick_params(labelleft=False)
    if known:
        _draw_accuracy(figure.add_subplot(1, columns, 3), known, accuracy)
    figure.tight_layout(pad=0.9)
    return save_figure(figure, out)


def _draw_speed(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    places = range(len(rows))
    axes.barh(places, [row["step_speed_up"] for row in rows], color=CYCLE[0], height=0.6, label="measured")
    promised = [row["promised_step"] for row in rows]
    axes.plot(promised, places, "|", color=CYCLE[1], markersize=16, markeredgewidth=2.5, label="promised by MACs")
    for place, row in zip(places, rows, strict=True):
        axes.text(0.03, place, f"{row['step_speed_up']:.2f}x", va="center", color="white", fontsize=8, weight="bold")
    axes.set_yticks(list(places), [row["name"] for row in rows])
    axes.invert_yaxis()
    axes.axvline(1.0, color=MUTED, linewidth=0.8)
    _style(axes, "speed-up of a training step")
    axes.legend(fontsize=7, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.06), ncols=2)


def _draw_macs(axes: Axes, rows: Sequence[Mapping[str, Any]], samples: int) -> None:
    left = [0.0] * len(rows)
    for number, part in enumerate(dict.fromkeys(name for row in rows for name in row["macs"])):
        widths = [row["macs"].get(part, 0) / 1e9 / samples for row in rows]
        if any(widths):
            axes.barh(range(len(rows)), widths, left=left, height=0.6, color=CYCLE[number % len(CYCLE)], label=part)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    _style(axes, "GMAC of a forward pass, one text and image")
    axes.legend(fontsize=7, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.06), ncols=4)


def _draw_accuracy(axes: Axes, rows: Sequence[Mapping[str, Any]], accuracy: Mapping[str, float]) -> None:
    for number, row in enumerate(rows):
        axes.plot(row["step_speed_up"], accuracy[row["name"]], "o", color=CYCLE[number % len(CYCLE)], markersize=7)
        axes.annotate(
            row["name"],
            (row["step_speed_up"], accuracy[row["name"]]),
            textcoords="offset points",
            xytext=(6, 4),
            fontsize=7.5,
            color=INK,
        )
    axes.margins(x=0.35, y=0.2)
    axes.set_xlabel("speed-up of a training step", fontsize=8, color=MUTED)
    _style(axes, "accuracy")


def _style(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=9.5, color=INK, loc="left", weight="bold")
    axes.tick_params(labelsize=8, colors=INK, length=0)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)
