"""The figures that a training logs, as curves; a file that grows is read on from where it ended."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bus_toolkit.json_text import finite_number, load_json
from bus_toolkit.text_files import split_lines

Points = list[tuple[float, float]]
_MOST = 4096
"""Points of a curve that are kept; of a longer one stretches become their mean, so that memory does not grow."""
_LARGEST = 1e100
"""Values up to here are drawn: float32 ends at 3e38, and sums of far larger ones overflow in means and scales."""


class Scalars:
    """Curves of one training, each a list of (training iteration, value).

    Args:
        paths: ``vis_data/scalars.json``, of a resumed training one for each start, in order. Steps that a later part
            repeats replace those of the interrupted part. A missing file is one without lines.

    Attributes:
        losses: Losses by term (keys that contain "loss").
        metrics: Metrics of validations (keys with a slash).
        figures: What else is logged of steps: rates, norms, tokens, speed.
        not_drawn: The last step at which a figure was not finite, or beyond 1e100, by its key; no curve has these.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._places = {path: 0 for path in paths}
        self._started: set[Path] = set()
        self._step = 0.0
        self.not_drawn: dict[str, float] = {}
        self._curves: dict[str, dict[str, Points]] = {kind: defaultdict(list) for kind in ("loss", "metric", "figure")}
        self.update()

    @property
    def losses(self) -> dict[str, Points]:
        """Losses by term."""
        return _filled(self._curves["loss"])

    @property
    def metrics(self) -> dict[str, Points]:
        """Metrics by key."""
        return _filled(self._curves["metric"])

    @property
    def figures(self) -> dict[str, Points]:
        """Other figures by key."""
        return _filled(self._curves["figure"])

    @property
    def last_step(self) -> int:
        """The last iteration of which something is logged."""
        drawn = (points[-1][0] for kind in self._curves.values() for points in kind.values() if points)
        return int(max((*drawn, *self.not_drawn.values()), default=0))

    def ends_drawn(self, key: str) -> bool:
        """Return whether the last value of a loss is on its curve: not that of a training that has diverged."""
        points = self.losses.get(key, [])
        return bool(points) and self.not_drawn.get(key, -1.0) < points[-1][0]

    def update(self) -> None:
        """Read what was added to the files since."""
        for path in self._places:
            for record in self._new(path):
                self._add(path, record)

    def _new(self, path: Path) -> Iterator[dict[str, Any]]:
        if not path.is_file():
            return
        with path.open("rb") as file:
            file.seek(self._places[path])
            whole, newline, _ = file.read().rpartition(b"\n")  # a line that is being written comes the next time
        self._places[path] += len(whole) + len(newline)
        for line in split_lines(whole.decode("utf-8", errors="replace")):
            if line.strip():
                with contextlib.suppress(ValueError):  # half a line of a run that was killed
                    record = load_json(line)
                    if isinstance(record, dict):
                        yield record

    def _add(self, path: Path, record: dict[str, Any]) -> None:
        step = finite_number(record.get("iter"))
        if step is not None and path not in self._started:
            self._started.add(path)
            self._drop_from(step)
        # A validation's own step counts epochs in an epoch-based training: it is drawn at the step of the training.
        if step is not None:
            self._step = step
        for key, value in record.items():
            number = finite_number(value)
            if number is None or abs(number) > _LARGEST:
                if isinstance(value, int | float) and not isinstance(value, bool) and key not in ("iter", "step"):
                    self.not_drawn[key] = self._step
                continue
            if "/" in key:
                self._note("metric", key, number)
            elif step is not None and key not in ("iter", "step", "epoch"):
                self._note("loss" if "loss" in key else "figure", key, number)

    def _note(self, kind: str, key: str, value: float) -> None:
        points = self._curves[kind][key]
        points.append((self._step, value))
        if len(points) > _MOST:
            points[:] = thinned(points, _MOST // 2)

    def _drop_from(self, first: float) -> None:
        for kind in self._curves.values():
            for key, points in kind.items():
                kind[key] = [point for point in points if point[0] < first]
        self.not_drawn = {key: step for key, step in self.not_drawn.items() if step < first}


def thinned(points: Points, most: int) -> Points:
    """Return at most ``most`` points, two or more: means over stretches of equal length, and the last point as it is.

    Stretches of x and not of places in the list: of a curve that is thinned again and again the start, whose points are
    means already, would be thinned each time until little of it is left.
    """
    if len(points) <= most:
        return points
    first, last = points[0][0], points[-1]
    length = (last[0] - first) / (most - 1)
    stretches: dict[int, Points] = defaultdict(list)
    for x, y in points[:-1]:
        stretches[min(int((x - first) / length), most - 2) if length else 0].append((x, y))
    means = [tuple(sum(values) / len(group) for values in zip(*group, strict=True)) for group in stretches.values()]
    return [*((x, y) for x, y in means), last]


def smooth(values: Sequence[float]) -> list[float]:
    """Return an exponential running mean over about a thirtieth of the curve, free of the bias at its start."""
    decay = 1.0 - 1.0 / max(1.0, len(values) / 30)
    mean, weight, out = 0.0, 0.0, []
    for value in values:
        mean, weight = decay * mean + (1.0 - decay) * value, decay * weight + (1.0 - decay)
        out.append(mean / weight)
    return out


def _filled(curves: dict[str, Points]) -> dict[str, Points]:
    """Return the curves that have points: a part that was resumed may have taken all of one."""
    return {key: points for key, points in curves.items() if points}
