"""Draw how losses and metrics moved during a training, from the scalars that MMEngine writes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bus_toolkit.visualization.canvas import CYCLE, GRID, INK, MUTED, in_one_style, new_figure, save_figure
from bus_toolkit.visualization.scalars import Points, Scalars, smooth

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Series = dict[str, Points]

_COLUMNS = 4
HIDDEN = ("num_", "chance", "paired_", "leak_", "majority", "accuracy_positive", "accuracy_negative")


def read_scalars(paths: Sequence[Path]) -> tuple[Series, Series]:
    """Return loss curves by term and metric curves by key, each a list of (training iteration, value).

    Args:
        paths: ``vis_data/scalars.json`` of one training, the folders of a resumed one in order; steps that a
            resumed part repeats replace those of the interrupted part.

    Returns:
        Losses (keys that contain "loss") and metrics of validations (keys with a slash).
    """
    scalars = Scalars(paths)
    return scalars.losses, scalars.metrics


@in_one_style
def draw_curves(paths: Sequence[Path], out: Path) -> Path | None:
    """Draw a small plot for each loss term and each task's metrics; return the PNG, or ``None`` without any."""
    losses, metrics = read_scalars([path for path in paths if path.is_file()])
    plots: list[tuple[str, Series]] = [(key.replace("_", " "), {key: points}) for key, points in losses.items()]
    for task in dict.fromkeys(key.split("/")[0] for key in metrics):
        shown = {key.split("/", 1)[1]: points for key, points in metrics.items() if key.split("/")[0] == task}
        groups = split_task(task, {key: points for key, points in shown.items() if not key.startswith(HIDDEN)})
        plots += [(title, series) for title, series in groups if series]
    if not plots:
        return None
    columns = min(_COLUMNS, len(plots))
    rows = math.ceil(len(plots) / columns)
    figure = new_figure(3.6 * columns, 2.5 * rows)
    for place, (title, series) in enumerate(plots):
        axes = figure.add_subplot(rows, columns, place + 1)
        _style(axes, title.replace("patch text", "patch-text"))
        draw = _draw_loss if place < len(losses) else _draw_metrics
        draw(axes, series)
        if place >= len(plots) - columns:
            axes.set_xlabel("iteration", fontsize=8, color=MUTED)
    figure.tight_layout(pad=0.8)
    return save_figure(figure, out)


def split_task(task: str, series: Series) -> list[tuple[str, Series]]:
    """Return the plots of one task: recall gets one a direction, since twelve lines in one cannot be distinguished."""
    if task != "retrieval":
        return [(task.replace("_", " "), series)]
    titles = {"i2t": "recall, image to text", "t2i": "recall, text to image"}
    split = {
        way: {key.replace(f"{way}_", ""): points for key, points in series.items() if f"{way}_" in key}
        for way in titles
    }
    rest = {key: points for key, points in series.items() if not any(f"{way}_" in key for way in titles)}
    return [(titles[way], part) for way, part in split.items()] + [("retrieval", rest)]


def _style(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=9.5, color=INK, loc="left", weight="bold")
    axes.tick_params(labelsize=7.5, colors=MUTED, length=0)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(GRID)


def _draw_loss(axes: Axes, series: Series) -> None:
    """Draw the values pale and their running mean strong."""
    for points in series.values():
        steps, values = zip(*points, strict=True)
        axes.plot(steps, values, color=CYCLE[0], alpha=0.28, linewidth=0.9)
        axes.plot(steps, smooth(values), color=CYCLE[0], linewidth=1.8)


def _draw_metrics(axes: Axes, series: Series) -> None:
    """Draw related curves in one colour: solid, and dashed after re-ranking or under a shuffled caption."""
    colours: dict[str, str] = {}
    for name, points in series.items():
        base = name.replace("rerank_", "").replace("_shuffled", "")
        colour = colours.setdefault(base, CYCLE[len(colours) % len(CYCLE)])
        steps, values = zip(*points, strict=True)
        label = name.replace("rerank_", "re-ranked ").replace("_", " ")
        axes.plot(steps, values, "-" if name == base else "--", color=colour, marker="o", markersize=2.5, label=label)
    low, high = axes.get_ylim()
    axes.set_ylim(max(0.0, low), min(1.02, high) if high <= 1.2 else high)
    columns = 1 if len(series) <= 4 else 2
    # On a light ground, since the best place may still lie on a line.
    axes.legend(fontsize=6.5, framealpha=0.85, edgecolor="none", labelcolor=INK, ncols=columns, handlelength=2.8)
