"""The charts of one run or of several: losses, metrics, rates, tokens, speed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bus_toolkit.visualization.curves import HIDDEN, split_task
from bus_toolkit.visualization.html import shown
from bus_toolkit.visualization.scalars import Points, Scalars
from bus_toolkit.visualization.svg_chart import Line, line_chart

_STEP_FIGURES = {
    "lr": "Learning rate",
    "grad_norm": "Gradient norm",
    "samples_per_second": "Samples a second",
    "time": "Seconds a step",
    "data_time": "Seconds a step waits for data",
    "memory": "Memory of the GPU, MiB",
    "memory_cpu": "Memory of the process, MiB",
    "steps_left_out": "Steps left out",
}
_SMOOTHED = {"grad_norm", "samples_per_second", "time", "data_time"}
Runs = Mapping[str, Scalars]


def loss_charts(runs: Runs) -> list[str]:
    """Return a chart for each loss term; the sum first."""
    keys = sorted({key for scalars in runs.values() for key in scalars.losses}, key=lambda key: (key != "loss", key))
    return [
        _chart(key.replace("_", " "), runs, [one.losses.get(key) for one in runs.values()], smoothed=True)
        for key in keys
    ]


def not_drawn(runs: Runs) -> str:
    """Return a sentence on the values that no chart can show, of a training that diverges; empty without any."""
    found = [
        (f"{name}: " if len(runs) > 1 else "") + f"{key} (last at step {step:.0f})"
        for name, scalars in runs.items()
        for key, step in sorted(scalars.not_drawn.items())
    ]
    return f"<p>{shown('Not finite, or beyond 1e100, and not drawn: ' + ', '.join(found))}.</p>" if found else ""


def figure_charts(runs: Runs) -> list[str]:
    """Return a chart for each figure of steps that is logged, and of keep ratios that change."""
    known = {key for scalars in runs.values() for key in scalars.figures}
    names = {**_STEP_FIGURES, **{key: key.replace("_", " ") for key in sorted(known) if key.startswith("keep_ratio")}}
    return [
        _chart(title, runs, [one.figures.get(key) for one in runs.values()], smoothed=key in _SMOOTHED)
        for key, title in names.items()
        if key in known and not (key == "steps_left_out" and _is_zero(runs, key))
    ]


def metric_charts(runs: Runs) -> list[str]:
    """Return the charts of validations: of one run a chart a task, of several one a metric."""
    if len(runs) > 1:
        keys = sorted({key for scalars in runs.values() for key in scalars.metrics})
        seen = [key for key in keys if not key.split("/", 1)[1].startswith(HIDDEN)]
        return [_chart(key.replace("_", " "), runs, [one.metrics.get(key) for one in runs.values()]) for key in seen]
    (scalars,) = runs.values()
    charts = []
    for task in dict.fromkeys(key.split("/")[0] for key in scalars.metrics):
        own = {key.split("/", 1)[1]: points for key, points in scalars.metrics.items() if key.split("/")[0] == task}
        for title, series in split_task(task, {k: points for k, points in own.items() if not k.startswith(HIDDEN)}):
            lines = [Line(name.replace("_", " "), points, i) for i, (name, points) in enumerate(series.items())]
            charts += [line_chart(title, lines)] if lines else []
    return charts


def token_charts(runs: Runs) -> list[str]:
    """Return a chart for each kind of pass: the tokens after each stage."""
    charts = []
    for kind in sorted({kind for scalars in runs.values() for kind in passes(scalars)}):
        lines: list[Line] = []
        for name, scalars in runs.items():
            for stage, points in passes(scalars).get(kind, {}).items():
                words = stage.replace("_", " ")
                lines.append(Line(words if len(runs) == 1 else f"{name}: {words}", points, len(lines)))
        charts += [line_chart(f"Tokens of an image under: {kind}", lines, whole=False)] if lines else []
    return charts


def passes(scalars: Scalars) -> dict[str, dict[str, Points]]:
    """Return for each kind of pass of a step the tokens after each stage, as they were logged."""
    keys = [key.removeprefix("tokens_") for key in scalars.figures if key.startswith("tokens_")]
    kinds = [key.removesuffix("_rows") for key in keys if key.endswith("_rows")]
    return {
        kind: {
            key.removeprefix(f"{kind}_"): scalars.figures[f"tokens_{key}"]
            for key in keys
            if _kind(key, kinds) == kind and key != f"{kind}_rows"
        }
        for kind in kinds
    }


def _is_zero(runs: Runs, key: str) -> bool:
    return not any(value for scalars in runs.values() for _, value in scalars.figures.get(key, ()))


def _kind(key: str, kinds: Sequence[str]) -> str:
    """Return the kind of pass of a key; one may be the start of another's name."""
    return max((kind for kind in kinds if key.startswith(f"{kind}_")), key=len, default="")


def _chart(title: str, runs: Runs, curves: Sequence[Points | None], *, smoothed: bool = False) -> str:
    named = enumerate(zip(runs, curves, strict=True))
    lines = [Line(name if len(runs) > 1 else "last", points, i) for i, (name, points) in named if points]
    return line_chart(title, lines, smoothed=smoothed) if lines else ""
