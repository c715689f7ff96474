"""The conformance kit for patch selectors."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from bus_toolkit.errors import BusError, ComponentError
from bus_toolkit.ops.token_plan import TokenPlan
from bus_toolkit.selectors.base import PatchSelector
from bus_toolkit.structures import Decision
from bus_toolkit.testing import tiny
from bus_toolkit.testing.check import Check, differ, run_checks
from bus_toolkit.testing.common import COMMON_CHECKS
from bus_toolkit.testing.learning import check_learns
from bus_toolkit.testing.selector_case import SelectorCase


def check_selector(
    part: str | Callable[..., nn.Module], *, heads: Mapping[str, Mapping[str, Any]] | None = None, **settings: Any
) -> None:
    """Check that a patch selector keeps its contract (``bus_toolkit.selectors.PatchSelector``).

    Args:
        part: Its registered name, or its class.
        heads: For a selector that is trained by a head of its own, nodes by name, such as ``{"mine": {"type":
            "MineHead"}}``.
        **settings: Arguments beside ``blocks`` and ``keep_ratio``, which have tiny defaults.

    Raises:
        ConformanceError: Promises are broken; all are named.
        ComponentError: It cannot be built.
    """
    run_checks(SelectorCase(part, settings, heads), (*SELECTOR_CHECKS, check_learns, *COMMON_CHECKS))


def check_plan(case: SelectorCase) -> None:
    """A plan keeps the promised number of patches, each once, ascending unless it merges, and a score for each."""
    part = case.build()
    decisions = _decisions(case, part)
    for number, decision in decisions:
        _assert_plan(number, decision)
    ratio = getattr(part, "keep_ratio", None)
    if "keep_ratio" in case.factory.takes and isinstance(ratio, float) and len(decisions) == 1:
        number, decision = decisions[0]
        kept = decision.plan.keep_indices.shape[1]
        allowed = (math.floor(number * ratio + 1e-9), math.ceil(number * ratio - 1e-9))
        assert kept in allowed, f"{kept} of {number} patches are kept at keep_ratio {ratio}"


def check_num_left(case: SelectorCase) -> None:
    """``num_left`` says how many tokens come out; decoders are checked against it when a model is built."""
    for settings in ({"keep_ratio": 0.5}, {"keep_ratio": 1.0}) if "keep_ratio" in case.factory.takes else ({},):
        part = case.build(**settings)
        counts: list[tuple[int, int]] = []
        if not isinstance(part, PatchSelector):
            return
        part.register_forward_hook(
            lambda part, args, answer, counts=counts: counts.append((part.num_left(args[0]), answer[0].num_slots))
        )
        case.visual(part, case.inputs())
        for said, real in counts:
            assert said == real, f"num_left says {said}, and {real} tokens come out"


def check_several_blocks(case: SelectorCase) -> None:
    """At two blocks the second decision is about the tokens that the first one left."""
    if "blocks" not in case.factory.takes or "blocks" in case.factory.given:
        return
    try:
        part = case.build(blocks=[1, 3])
    except ComponentError:
        return  # it works at one block, and says so
    decisions = _decisions(case, part)
    assert len(decisions) == 2, f"it sits at blocks 1 and 3 and is asked {len(decisions)} time(s)"
    for number, decision in decisions:
        _assert_plan(number, decision)


def _assert_plan(candidates: int, decision: Decision) -> None:
    scores, kept = decision.scores, decision.plan.keep_indices
    wanted = (tiny.BATCH, candidates)
    assert scores.shape == wanted, f"scores have shape {tuple(scores.shape)}, not {wanted}"
    assert not torch.isnan(scores).any(), "scores are NaN"
    assert kept.dtype == torch.int64, f"keep_indices are {kept.dtype}, not int64"
    assert kept.dim() == 2 and kept.shape[0] == tiny.BATCH, f"keep_indices have shape {tuple(kept.shape)}"
    # A plan that merges says the order of its output, such as ToMe's.
    ordered = kept.sort(dim=1).values if decision.plan.merging else kept
    assert bool((ordered.diff(dim=1) > 0).all()), (
        "keep_indices are not unique" if decision.plan.merging else "keep_indices are not ascending and unique"
    )
    _assert_filled(decision.plan)
    assert bool(((kept >= 0) & (kept < candidates)).all()), "keep_indices point outside the candidates"


def _assert_filled(plan: TokenPlan) -> None:
    if plan.may_be_empty:
        return
    taken = plan.weights.detach().float().abs().masked_fill(plan.slots < 0, 0.0)
    totals = torch.zeros(taken.shape[0], plan.num_slots).scatter_add(1, plan.slots.clamp(min=0), taken)
    assert bool((totals > 0).all()), "an output token holds nothing, and the plan does not say may_be_empty"


def _decisions(case: SelectorCase, part: nn.Module) -> list[tuple[int, Decision]]:
    """Return candidates and answer of each decision, also where the backbone cannot follow the selector."""
    seen: list[tuple[int, Decision]] = []
    part.register_forward_hook(lambda module, args, answer: seen.append((args[0].patches.shape[1], Decision(*answer))))
    try:
        case.visual(part, case.inputs())
    except (RuntimeError, IndexError):
        if not seen:
            raise
    return seen


def check_best_are_kept(case: SelectorCase) -> None:
    """A selector whose scores rank keeps the best; equal scores go to the lower index."""
    part = case.build()
    if not getattr(part, "ranks", True):
        return
    for selection in case.visual(part, case.inputs()).selections:
        order = torch.sort(selection.decision.scores, dim=1, descending=True, stable=True).indices
        kept = selection.decision.plan.keep_indices.sort(dim=1).values
        wanted = order[:, : kept.shape[1]].sort(dim=1).values
        assert torch.equal(kept, wanted), "others than the best-scored patches are kept"


def check_provenance(case: SelectorCase) -> None:
    """Every original patch can be followed to the token it ended in, or to none."""
    visual = case.visual(case.build(), case.inputs())
    assert visual.origin is not None and visual.origin.shape == (tiny.BATCH, 16), "there is no map of all patches"
    count = visual.embeds.shape[1] - visual.num_prefix
    assert int(visual.origin.max()) < count, f"a patch is said to be in token {int(visual.origin.max())} of {count}"
    for selection in visual.selections:
        kept = selection.decision.plan.keep_indices
        slots = selection.decision.plan.slots.gather(1, kept)
        assert torch.equal(slots, torch.arange(kept.shape[1]).expand_as(slots)), "a kept patch is not in its own token"


def check_keeping_all(case: SelectorCase) -> None:
    """With keep_ratio 1 the backbone is the plain one, bit for bit."""
    if "keep_ratio" not in case.factory.takes:
        return
    inputs = case.inputs()
    part = case.build(keep_ratio=1.0)
    problem = differ([case.visual(part, inputs).embeds], [case.plain(part, inputs).embeds], 0.0)
    assert not problem, problem


def check_patches_untouched(case: SelectorCase) -> None:
    """A selector does not edit the patches that it looks at."""
    part, before = case.build(), []
    part.register_forward_pre_hook(lambda module, args: before.append((args[0], args[0].patches.clone())))
    case.visual(part, case.inputs())
    for view, copied in before:
        assert torch.equal(view.patches, copied), "the patches of the view were edited in place"


def check_without_text(case: SelectorCase) -> None:
    """A pass without text works; a selector that reads the boxes which a text names refuses it."""
    if getattr(case.build(), "needs_boxes", False):
        _assert_refused(case)
        return
    visual = case.visual(case.build(), case.inputs(), with_text=False)
    assert torch.isfinite(visual.embeds).all(), "tokens are not finite without a text"
    assert visual.selections, "no plan was made without a text"


def _assert_refused(case: SelectorCase) -> None:
    try:
        case.visual(case.build(), case.inputs(), with_text=False)
    except BusError:
        return
    raise AssertionError("it needs boxes, and a pass without text is not refused")


def check_bad_arguments(case: SelectorCase) -> None:
    """Blocks and ratios that make no sense are refused with a clear error."""
    wrong: list[dict[str, Any]] = [{"blocks": []}, {"blocks": [0]}, {"blocks": [2, 2]}]
    wrong += [{"keep_ratio": 0.0}, {"keep_ratio": 1.5}]
    for bad in wrong:
        if not set(bad) <= set(case.factory.takes):
            continue
        try:
            case.build(**bad)
        except (ComponentError, ValueError):
            continue
        raise AssertionError(f"{bad} is accepted")


SELECTOR_CHECKS: tuple[Check, ...] = (
    check_plan,
    check_num_left,
    check_several_blocks,
    check_best_are_kept,
    check_provenance,
    check_keeping_all,
    check_patches_untouched,
    check_without_text,
    check_bad_arguments,
)
