"""The losses of all heads on a batch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from bus_toolkit.errors import ComponentError, ConfigError, DataError, Problem, describe
from bus_toolkit.heads.base import Feed, HeadOutput, VLPHead
from bus_toolkit.models.head_plan import HeadPlan
from bus_toolkit.models.source_groups import SourceGroup, mean_over_groups
from bus_toolkit.selectors.base import PatchSelector
from bus_toolkit.step.passes import Passes
from bus_toolkit.step.step import Step
from bus_toolkit.structures import Condition, Similarity

_FREE, _CAPTION = frozenset({Condition.FREE}), frozenset({Condition.CAPTION})


class StepResult(NamedTuple):
    """What the heads made of a batch.

    Attributes:
        values: Losses, weighted, as ``loss_<objective>``, and figures to log: what MMEngine takes.
        carried: By head, ``HeadOutput.carry`` of its groups of rows.
    """

    values: dict[str, Tensor]
    carried: dict[str, list[Any]]


def idle_heads(
    heads: Mapping[str, VLPHead], selectors: Iterable[PatchSelector], *, prior_is_trained: bool = False
) -> frozenset[str]:
    """Return the heads that train supervised scores where nothing has any: their loss would be 0 for ever.

    Args:
        heads: Those of the model by name.
        selectors: Those of its backbone.
        prior_is_trained: Whether its prior has scores that such a head trains.

    Raises:
        ConfigError: No other head is left, so that nothing would be trained.
    """
    if prior_is_trained or any(selector.supervised for selector in selectors):
        return frozenset()
    idle = frozenset(name for name, head in heads.items() if head.needs_supervised_scores)
    if idle and len(idle) == len(heads):
        text = (
            f"{', '.join(sorted(idle))} trains supervised scores, and no selector has any. Add a head, a TSPS, or a "
            "TextScorePrior."
        )
        raise ConfigError(Problem("model.heads", text))
    return idle


def run_heads(
    heads: Mapping[str, VLPHead],
    plan: HeadPlan,
    groups: Sequence[SourceGroup],
    passes: Sequence[Passes],
    epoch: float,
) -> StepResult:
    """Run the heads of a training step on the groups of a batch.

    Args:
        heads: All of the model, in the order of ``plan``.
        plan: How they work together.
        groups: The rows of the batch by the heads that they serve.
        passes: The encodings of each group.
        epoch: How far training is; heads with a later start are left out.

    Raises:
        ComponentError: A head returns no ``HeadOutput`` of scalars, two log under one name, or a figure would be
            trained on.
        DataError: A head reads one image a text, and there are more.
    """
    check_images(heads, passes[0].batch.num_images)
    result = StepResult({}, {})
    similarity: list[Similarity | None] = [None] * len(groups)
    for name, head in heads.items():
        if epoch < head.start_epoch:
            continue
        # What a head declares it may always ask for; a text-free pass knows no answer.
        open_to = _FREE | _CAPTION if head.sees is Condition.CAPTION else _FREE
        outputs, counts = [], []
        for index in (index for index, group in enumerate(groups) if group.serves(name)):
            given = similarity[index] if Feed.SIMILARITY in head.uses else None
            location = f"model.heads.{name} ({type(head).__name__})"
            step = Step(passes[index], plan.keys[name], open_to, given, location, name)
            output = _checked(name, head, head.loss(step))
            similarity[index] = output.similarity or similarity[index]
            outputs.append(output)
            counts.append(len(groups[index].samples))
        _add(result.values, name, head, mean_over_groups(outputs, counts), plan.suffixes[name])
        result.carried[name] = [output.carry for output in outputs if output.carry is not None]
    return result


def _checked(name: str, head: VLPHead, output: Any) -> HeadOutput:
    """Return what a head's ``loss`` returned, if it is what the contract says."""
    if not isinstance(output, HeadOutput):
        raise ComponentError(
            f"model.heads.{name}: {type(head).__name__}.loss must return a HeadOutput, got {type(output).__name__}. "
            'Return bus_toolkit.heads.HeadOutput({"<objective>": loss}).'
        )
    for key, value in {**output.losses, **output.logs}.items():
        if not isinstance(value, Tensor) or value.dim():
            raise ComponentError(
                f"model.heads.{name}: {type(head).__name__}.loss must return scalar tensors, got {describe(value)} for "
                f"{key!r}. Reduce it, for example with .mean()."
            )
    return output


def _add(values: dict[str, Tensor], name: str, head: VLPHead, output: HeadOutput, suffix: str) -> None:
    """Put a head's losses and figures under the names by which they are logged."""
    for key in output.logs:
        if "loss" in key:
            # MMEngine sums every value whose name contains "loss".
            raise ComponentError(
                f"model.heads.{name}: only losses may have 'loss' in their name, got the figure {key!r} of "
                f"{type(head).__name__}. Rename it, or return it in HeadOutput.losses."
            )
    losses = {f"loss_{objective}": head.weight * loss for objective, loss in output.losses.items()}
    for key, value in {**losses, **output.logs}.items():
        if key + suffix in values:
            raise ComponentError(
                f"model.heads.{name}: {type(head).__name__} logs {key}, as an earlier head does. Leave one of them "
                "out, or give the objective of one another name."
            )
        values[key + suffix] = value


def check_images(heads: Mapping[str, VLPHead], num_images: int) -> None:
    """Refuse several images a text if a head reads one.

    Raises:
        DataError: A head reads one image a text, and there are more.
    """
    for name, head in heads.items():
        if num_images > 1 and not head.several_images:
            raise DataError(
                f"model.heads.{name}: {type(head).__name__} reads one image a text, got {num_images}. Leave "
                "the head out, or train on a data set with one image a text."
            )
