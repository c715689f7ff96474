"""The conformance kit for patch selectors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from bus_toolkit.errors import ComponentError
from bus_toolkit.registry import REGISTRIES
from bus_toolkit.structures import Decision, VisualTokens
from bus_toolkit.testing import tiny
from bus_toolkit.testing.check import Check, Inputs, PartFactory, differ, run_checks
from bus_toolkit.testing.common import COMMON_CHECKS


class SelectorCase:
    """A selector behind block 2 of a transformer of 4, with 16 patches."""

    def __init__(self, part: str | Callable[..., nn.Module], settings: dict[str, Any]) -> None:
        defaults = {"blocks": [2], "keep_ratio": 0.5}
        self.factory = PartFactory(REGISTRIES.selectors, part, settings, defaults, tiny.WIDTHS)
        self.name, self.seed = self.factory.name, 0

    def build(self, **settings: Any) -> nn.Module:  # noqa: ANN401
        """See ``Case``."""
        return self.factory.build(self.seed, settings)

    def inputs(self) -> Inputs:
        """See ``Case``."""
        return {"images": tiny.numbers(tiny.BATCH, 3, tiny.SIDE, tiny.SIDE), **tiny.text_inputs()}

    def run(self, part: nn.Module, inputs: Inputs) -> list[Tensor]:
        """Return tokens, scores and what a guide says."""
        visual = self.visual(part, inputs)
        guides = [s.decision.guide.answers for s in visual.selections if s.decision.guide is not None]
        return [visual.embeds, *(s.decision.scores for s in visual.selections), *guides]

    def visual(self, part: nn.Module, inputs: Inputs, with_text: bool = True) -> VisualTokens:
        """Run the transformer around the selector."""
        host = TokenReducingBackbone(tiny.vision_transformer(inputs["images"].dtype), [part])  # type: ignore[list-item]
        return host(inputs["images"], tiny.text_tokens(inputs) if with_text else None)


def check_selector(part: str | Callable[..., nn.Module], **settings: Any) -> None:  # noqa: ANN401
    """Check that a patch selector keeps its contract (``bus_toolkit.selectors.base``).

    Args:
        part: Its registered name, or its class.
        **settings: Arguments beside ``blocks`` and ``keep_ratio``, which have tiny defaults.

    Raises:
        ConformanceError: Promises are broken; all are named.
        ComponentError: It cannot be built.
    """
    run_checks(SelectorCase(part, settings), (*SELECTOR_CHECKS, *COMMON_CHECKS))


def check_plan(case: SelectorCase) -> None:
    """A plan keeps the promised number of patches, ascending and each once, and scores every candidate."""
    part = case.build()
    for plan, scores, *_ in _plans(case, part):
        kept = plan.keep_indices
        assert scores.shape == (tiny.BATCH, 16), f"scores have shape {tuple(scores.shape)}, not {(tiny.BATCH, 16)}"
        assert kept.dtype == torch.int64, f"keep_indices are {kept.dtype}, not int64"
        assert kept.dim() == 2 and kept.shape[0] == tiny.BATCH, f"keep_indices have shape {tuple(kept.shape)}"
        assert bool((kept.diff(dim=1) > 0).all()), "keep_indices are not ascending and unique"
        assert bool(((kept >= 0) & (kept < 16)).all()), "keep_indices point outside the candidates"
        ratio = getattr(part, "keep_ratio", None)
        if "keep_ratio" in case.factory.takes and ratio is not None:
            allowed = (math.floor(16 * ratio + 1e-9), math.ceil(16 * ratio - 1e-9))
            assert kept.shape[1] in allowed, f"{kept.shape[1]} of 16 patches are kept at keep_ratio {ratio}"


def _plans(case: SelectorCase, part: nn.Module) -> list[Decision]:
    """Return what the selector answered, also where the backbone cannot follow it."""
    answers: list[Decision] = []
    part.register_forward_hook(lambda module, args, answer: answers.append(Decision(*answer)))
    try:
        case.visual(part, case.inputs())
    except (RuntimeError, IndexError):
        if not answers:
            raise
    return answers


def check_best_are_kept(case: SelectorCase) -> None:
    """A selector whose scores rank keeps the best; equal scores go to the lower index."""
    part = case.build()
    if not getattr(part, "ranks", True):
        return
    for selection in case.visual(part, case.inputs()).selections:
        order = torch.sort(selection.decision.scores, dim=1, descending=True, stable=True).indices
        wanted = order[:, : selection.decision.plan.keep_indices.shape[1]].sort(dim=1).values
        assert torch.equal(selection.decision.plan.keep_indices, wanted), "others than the best-scored patches are kept"


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
    plain = TokenReducingBackbone(tiny.vision_transformer())(inputs["images"]).embeds
    problem = differ([case.visual(case.build(keep_ratio=1.0), inputs).embeds], [plain], 0.0)
    assert not problem, problem


def check_patches_untouched(case: SelectorCase) -> None:
    """A selector does not edit the patches that it looks at."""
    part, before = case.build(), []
    part.register_forward_pre_hook(lambda module, args: before.append((args[0], args[0].patches.clone())))
    case.visual(part, case.inputs())
    for view, copied in before:
        assert torch.equal(view.patches, copied), "the patches of the view were edited in place"


def check_without_text(case: SelectorCase) -> None:
    """A pass without text works."""
    visual = case.visual(case.build(), case.inputs(), with_text=False)
    assert torch.isfinite(visual.embeds).all(), "tokens are not finite without a text"
    assert visual.selections, "no plan was made without a text"


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
    check_best_are_kept,
    check_provenance,
    check_keeping_all,
    check_patches_untouched,
    check_without_text,
    check_bad_arguments,
)
