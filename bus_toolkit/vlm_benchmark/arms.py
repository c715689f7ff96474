"""What is measured side by side: the model as it is, reductions of it, and what each reduction has to beat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch

from bus_toolkit.huggingface.reduction import Reduction, reduce_tokens
from bus_toolkit.ops.token_plan import TokenPlan
from bus_toolkit.vlm_benchmark.made_up_inputs import Size, image_frame, smaller_size

UNPRUNED = "unpruned"
KEEPS_ALL = "keeps all"
_WHOLE = {"type": "UniformGrid", "blocks": [1], "keep_ratio": 1.0}
# What a selector without a keep_ratio keeps (``PatchSelector``).
DEFAULT_KEEP_RATIO = 0.5


@dataclass(frozen=True)
class Arm:
    """A model with or without a reduction, and the image that it reads.

    Attributes:
        name: For people.
        image_size: Height and width, in pixels.
        reduction: Arguments of ``reduce_tokens``; ``None`` for the model as it is.
    """

    name: str
    image_size: Size
    reduction: Mapping[str, Any] | None = None

    @contextmanager
    def in_place(
        self, model: Any, around_selection: Callable[[], AbstractContextManager[Any]] = nullcontext
    ) -> Iterator[Reduction | None]:
        """Put the reduction into the model for the time of a ``with`` block."""
        if self.reduction is None:
            yield None
            return
        torch.manual_seed(0)  # selectors with parameters are the same each time
        with reduce_tokens(model, **self.reduction, around_selection=around_selection) as reduction:
            yield reduction


def unreduced(size: Size) -> list[Arm]:
    """Return the model as it is, and with all hooks but nothing dropped: the difference is what the hooks cost."""
    return [Arm(UNPRUNED, size), Arm(KEEPS_ALL, size, {"projected": _WHOLE})]


def baselines(arm: Arm, reduction: Reduction, model: Any) -> list[Arm]:
    """Return what costs about as much as an arm: a random choice, an even pattern, a smaller image.

    ``Random`` keeps as many tokens at each place. ``UniformGrid`` and the smaller image know one number only, that of
    the tokens that are left at the end: the pattern is taken at the arm's first place.

    Args:
        arm: A reduction.
        reduction: It, after a prefill.
        model: The model.
    """
    stages = _stages(arm, reduction)
    rows, columns = image_frame(model).grid(arm.image_size)
    left = num_kept(reduction)[0]
    even = replace(stages[0], share=left / (rows * columns))
    made = [_alike(arm, "Random", stages), _alike(arm, "UniformGrid", [even])]
    size = smaller_size(model, arm.image_size, left)
    return made if size is None else [*made, Arm(f"image {size[0]} x {size[1]}", size)]


def num_kept(reduction: Reduction) -> tuple[float, int]:
    """Return the mean and the maximum of the visual tokens that leave the language model."""
    return sum(reduction.counts) / len(reduction.counts), max(reduction.counts)


@dataclass(frozen=True)
class _Stage:
    """A selection: ``where`` is an argument of ``reduce_tokens``, ``share`` what stays of the tokens that are there."""

    where: str
    block: int
    share: float

    def __str__(self) -> str:
        place = {"vision": f"in the tower, block {self.block}", "projected": "before layer 1"}
        return f"{self.share:.3g} {place.get(self.where, f'after layer {self.block}')}"


def _alike(arm: Arm, selector: str, stages: Sequence[_Stage]) -> Arm:
    """Return an arm with the same kind of selector at each stage."""
    chosen: dict[str, Any] = {}
    for stage in stages:
        one = {"type": selector, "blocks": [max(1, stage.block)], "keep_ratio": stage.share}
        if stage.where == "projected":
            chosen["projected"] = one
        else:
            chosen.setdefault(stage.where, []).append(one)
    quota = {key: value for key, value in (arm.reduction or {}).items() if key == "quota"}
    return Arm(f"{selector} {', '.join(map(str, stages))}", arm.image_size, {**chosen, **quota})


def _stages(arm: Arm, reduction: Reduction) -> list[_Stage]:
    """Return the selections of a prefill in their order; a tower's by what its selectors are set to."""
    towers = (arm.reduction or {}).get("vision", ())
    towers = [towers] if isinstance(towers, Mapping) else towers
    shares = {block: one.get("keep_ratio", DEFAULT_KEEP_RATIO) for one in towers for block in one["blocks"]}
    stages = [_Stage("vision", block, share) for block, share in sorted(shares.items())]
    kept, present = Counter[int](), Counter[int]()
    for selection in reduction.selections:
        plan = selection.decision.plan
        kept[selection.block] += _num_left(plan)
        present[selection.block] += plan.num_inputs * len(plan.slots)
    inside = [
        _Stage("selectors" if block else "projected", block, kept[block] / present[block]) for block in sorted(present)
    ]
    return stages + inside


def _num_left(plan: TokenPlan) -> int:
    """Return how many tokens are read after a plan, of all its images."""
    if plan.key_weights is None:
        return plan.num_slots * len(plan.slots)
    return int((plan.key_weights > 0).sum())
