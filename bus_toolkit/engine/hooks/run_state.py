"""What a checkpoint keeps of a run beside its weights: random states of all processes, bad samples, states of hooks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mmengine.dist import broadcast_object_list, gather_object, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner

from bus_toolkit.data.datasets.bad_samples import BadSampleCounter
from bus_toolkit.data.leaves import inside
from bus_toolkit.engine.generator_states import generator_states, set_generator_states
from bus_toolkit.weights.run_state import read_section, write_section

Rows = list[list[int]]  # the bad rows of each data set


class RunStateHook(Hook):
    """Keep in checkpoints what the processes and hooks of a training hold, and give it back to a resumed one.

    The Runner adds it to every run. Most random numbers follow from the seed and from what they are for
    (``StepSeedHook``, ``SeededSamples``), so that they need no state. The states of the generators serve what draws
    between steps, such as a hook before an epoch; with another number of processes they are left alone.

    Bad samples that any process has met count for all from then on, and in a resumed training.

    A hook with ``state_dict()`` and ``load_state_dict(state)`` has its state in the checkpoint of rank 0: tensors,
    numbers, texts, and lists and mappings of these. It is given back after ``before_train`` of all hooks.
    """

    priority = "LOWEST"

    def __init__(self) -> None:
        self._gathered: tuple[int, Sequence[Any], Rows] | None = None
        self._loaded: dict[str, Any] = {}

    def before_checkpoint(self, runner: Runner) -> None:
        """Gather what the processes hold; it costs what a checkpoint does not feel, some 15 kB a process.

        Raises:
            TooManyBadSamples: All processes together have met more than ``max_bad_samples``.
        """
        found = counters(runner.train_dataloader.dataset)
        gathered = gather_object({"generators": generator_states(), "bad": [one.rows for one in found]}) or []
        union: list[Any] = [[sorted({row for one in gathered for row in one["bad"][n]}) for n in range(len(found))]]
        if found and get_world_size() > 1:
            broadcast_object_list(union)
        self._gathered = (runner.iter, [one["generators"] for one in gathered], union[0])
        for counter, rows in zip(found, union[0], strict=True):
            counter.share(rows)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Write the sections."""
        found = counters(runner.train_dataloader.dataset)
        if self._gathered is not None and self._gathered[0] == runner.iter:
            _, generators, bad = self._gathered
        else:  # somebody else saves, on this process alone
            generators, bad = [generator_states()], [one.rows for one in found]
        write_section(checkpoint, "generators", list(generators))
        named = zip(found, bad, strict=True)
        write_section(
            checkpoint,
            "bad_samples",
            [{"name": counter.name, "size": counter.size, "rows": rows} for counter, rows in named],
        )
        write_section(checkpoint, "hooks", {name: hook.state_dict() for name, hook in _stateful(runner)})

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Note what a resumed training gets back."""
        names: Any = ("generators", "bad_samples", "hooks")
        self._loaded = {name: read_section(checkpoint, name) for name in names} if runner._resume else {}

    def before_train(self, runner: Runner) -> None:
        """Give it back."""
        loaded, self._loaded = self._loaded, {}
        found = counters(runner.train_dataloader.dataset)
        held = loaded.get("bad_samples") or []
        if [(one.name, one.size) for one in found] == [(one["name"], one["size"]) for one in held]:
            for counter, one in zip(found, held, strict=True):
                counter.mark(one["rows"])
        states = loaded.get("hooks") or {}
        for name, hook in _stateful(runner):
            if name in states:
                hook.load_state_dict(states[name])
        generators = loaded.get("generators") or []
        if len(generators) == get_world_size():
            set_generator_states(generators[get_rank()])


def counters(dataset: Any) -> list[BadSampleCounter]:
    """Return what counts the bad samples of a data set and of those inside it."""
    own = getattr(dataset, "bad", None)
    found = [own] if isinstance(own, BadSampleCounter) else []
    for part in inside(dataset):
        found += [one for one in counters(part) if all(one is not other for other in found)]
    return found


def _stateful(runner: Runner) -> Iterator[tuple[str, Any]]:
    """Yield the hooks that have a state, by their class and, where there are several, their number."""
    seen: dict[str, int] = {}
    for hook in runner.hooks:
        if hasattr(hook, "state_dict") and hasattr(hook, "load_state_dict"):
            kind = type(hook).__name__
            seen[kind] = seen.get(kind, 0) + 1
            yield (kind if seen[kind] == 1 else f"{kind}_{seen[kind]}"), hook
