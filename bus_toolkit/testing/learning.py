"""Whether a training can train a selector: its scores alone have no loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from bus_toolkit.structures import VisualTokens
from bus_toolkit.testing.common import squares
from bus_toolkit.testing.model import tiny_batch, tiny_model
from bus_toolkit.testing.selector_case import SelectorCase


def check_learns(case: SelectorCase) -> None:
    """A loss of a training reaches every trainable parameter: through the tokens, or because a head trains it."""
    part = case.build().train()
    visual = case.visual(part, case.inputs())
    reached = _reached(part, _with_loss(visual))
    # Parameters that nothing reaches at all are the business of the check `gradient`.
    only_scores = sorted(_reached(part, [s.decision.scores for s in visual.selections]) - reached)
    only_shared: list[str] = []
    for name, node in case.heads.items() if only_scores else ():
        strict, shared = (_trained_by(case, name, node, mode) for mode in ("strict", "shared"))
        only_shared += [name] if (shared - strict) & set(only_scores) else []
        only_scores = [parameter for parameter in only_scores if parameter not in strict]
    assert not (only_scores and only_shared), (
        f"{', '.join(only_scores)}: the head {', '.join(only_shared)} trains it under conditioning mode shared, but "
        "not under strict: what the head sees there has no text that scores patches. Declare in the head what it must "
        "see, such as sees = Condition.CAPTION"
    )
    assert not only_scores, (
        f"{', '.join(only_scores)}: only the scores have a gradient to it, and no loss reads them, so it never learns. "
        "Set supervised = True if the scores are logits for a PatchTextHead, return a Guide, let the scores weigh the "
        "tokens (fuse, or weights of the plan), or check it together with the head that trains it (heads=...)"
    )


def _with_loss(visual: VisualTokens) -> list[Tensor]:
    """Return the results of a pass that a loss reads: the tokens, supervised scores, and what guides say."""
    guides = [s.decision.guide for s in visual.selections if s.decision.guide is not None]
    supervised = [s.decision.scores for s in visual.selections if s.decision.supervised]
    return [visual.embeds, *supervised, *(g.tokens for g in guides), *(g.answers for g in guides)]


def _reached(part: nn.Module, results: list[Tensor]) -> set[str]:
    """Return the trainable parameters that get a gradient from ``results``."""
    carrying = [result for result in results if result.requires_grad]
    part.zero_grad(set_to_none=True)
    if carrying:
        squares(carrying).backward(retain_graph=True)
    return {name for name, parameter in part.named_parameters() if parameter.grad is not None}


def _trained_by(case: SelectorCase, name: str, node: Mapping[str, Any], mode: str) -> set[str]:
    """Return the parameters of the selector that the loss of one head reaches, in a whole model."""
    selectors = [{"type": case.name, **case.factory.settings}]
    try:
        with case.factory.registered():
            model = tiny_model({name: node}, selectors=selectors, conditioning={"mode": mode})
        losses = model.train().loss(*tiny_batch())
    except Exception:  # a head that needs further parts trains nothing here; its own faults are in its own check
        return set()
    sum(value for key, value in losses.items() if "loss" in key).backward()
    selector = model.backbone.selectors[0]
    return {key for key, parameter in selector.named_parameters() if parameter.grad is not None}
