"""Best scores in a resumed training: compared only with scores of the same figure in the same direction."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.logging import MessageHub

_log = logging.getLogger(__name__)
_KEY = "best_figures"


def keep_comparable(hub: MessageHub, names: Sequence[str], rules: Sequence[str]) -> bool:
    """Leave in the hub the best scores of these figures alone, and note which they are.

    MMEngine keeps one best score without the name of its figure: with another ``save_best`` nothing might ever be
    better than it.

    Args:
        hub: What MMEngine keeps scores and paths of checkpoints in.
        names: The figures of ``save_best``.
        rules: Of each, ``greater`` or ``less``.

    Returns:
        Whether scores were of other figures. Their checkpoints stay.
    """
    now = dict(zip(names, rules, strict=True))
    before = hub.get_info(_KEY)
    before = _of_earlier_version(hub, now) if before is None else before
    hub.update_info(_KEY, now)
    if before == now:
        return False
    held = {name: [hub.get_info(key) for key in _keys(name, before)] for name in before}
    for key in [key for key in hub.runtime_info if key.startswith(("best_score", "best_ckpt"))]:
        hub.pop_info(key)
    for name in now:
        if before.get(name) == now[name]:
            for key, value in zip(_keys(name, now), held[name], strict=True):
                hub.update_info(key, value)
    others = ", ".join(f"{name} ({rule})" for name, rule in before.items()) or "another figure"
    _log.warning(
        "AtomicCheckpointHook.save_best: the best score until now is of %s; %s starts without one. The best checkpoint "
        "by the former stays.",
        others,
        ", ".join(name for name in now if before.get(name) != now[name]) or "a figure less",
    )
    return True


def path_of_best(hub: MessageHub, name: str, names: Sequence[str]) -> Any:
    """Return the path of the best checkpoint by one of the figures, or ``None``."""
    return hub.get_info(_keys(name, names)[1])


def _keys(name: str, names: Sequence[str] | Mapping[str, str]) -> tuple[str, str]:
    """Return under which keys MMEngine keeps score and path: without the name where there is one figure."""
    end = "" if len(names) == 1 else f"_{name}"
    return f"best_score{end}", f"best_ckpt{end}"


def _of_earlier_version(hub: MessageHub, now: dict[str, str]) -> dict[str, str]:
    """Return the figures of a run that did not note them: the name of its best checkpoint starts with its figure."""
    path = hub.get_info("best_ckpt")
    is_other = len(now) == 1 and path and not Path(path).name.startswith(f"best_{next(iter(now)).replace('/', '_')}_")
    return {} if is_other else now
