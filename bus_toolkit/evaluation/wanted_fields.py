"""Which predictions an evaluation reads: what nobody reads need not be computed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from mmengine.hooks import EmptyCacheHook, Hook, IterTimerHook, LoggerHook

from bus_toolkit.declarations import declared
from bus_toolkit.errors import Problem
from bus_toolkit.heads.base import VLPHead
from bus_toolkit.signatures.nearest import did_you_mean

# Hooks of OpenMMLab that follow the batches of an evaluation and read no predictions.
_BLIND = (EmptyCacheHook, IterTimerHook, LoggerHook)
_FOLLOWS = ("after_val_iter", "after_test_iter", "_after_iter")


def wanted_fields(metrics: Iterable[Any], hooks: Iterable[Hook], loop: object) -> frozenset[str] | None:
    """Return the predictions that these read, or ``None`` for all: one of them does not declare what it reads.

    Args:
        metrics: Those of the evaluator; ``reads`` and ``also_reads`` of a ``SampleMetric`` are its declarations.
        hooks: Those of the run; ``reads`` of one that follows the batches of an evaluation.
        loop: The evaluation loop, of which ``reads`` is asked if it has one.
    """
    wanted: set[str] = set(getattr(loop, "reads", ()))
    for metric in metrics:
        fields = metric_fields(metric)
        if fields is None:
            return None
        wanted |= {*fields, *getattr(metric, "also_reads", ())}
    for hook in hooks:
        fields = _hook_fields(hook)
        if fields is None:
            return None
        wanted |= set(fields)
    return frozenset(wanted)


def metric_fields(metric: object) -> tuple[str, ...] | None:
    """Return the predictions without which a metric reports nothing; ``None`` where it does not declare them."""
    return declared(metric, "reads", "row", "process")


def unread_problems(metrics: Iterable[Any], heads: Iterable[VLPHead], given: Iterable[str]) -> Iterator[Problem]:
    """Yield a problem for each metric that reads what neither a head nor the loop gives, where all heads declare that.

    Args:
        metrics: Those of an evaluator.
        heads: Those of the model.
        given: What the loop and the model add to the predictions.
    """
    known: set[str] = set(given)
    for head in heads:
        fields = declared(head, "predicts", "predict")
        if fields is None:
            return
        known |= set(fields)
    for metric in metrics:
        missing = [name for name in metric_fields(metric) or () if name not in known]
        if missing:
            kind = type(metric).__name__
            text = (
                f"reads {', '.join(missing)}, which no head predicts: got heads that give "
                f"{', '.join(sorted(known)) or 'nothing'}.{did_you_mean(missing[0], sorted(known))} Add the head that "
                f"gives it, or remove {kind} from the evaluator."
            )
            yield Problem(kind, text)


def _hook_fields(hook: Hook) -> tuple[str, ...] | None:
    if isinstance(hook, _BLIND) or all(getattr(type(hook), name) is getattr(Hook, name) for name in _FOLLOWS):
        return ()
    return declared(hook, "reads", *_FOLLOWS)
