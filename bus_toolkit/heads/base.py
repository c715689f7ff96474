"""What a VLP head declares, what it is given and what it returns: the contract of ``model.heads``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar

from torch import Tensor, nn

from bus_toolkit.errors import ComponentError
from bus_toolkit.step.batch import Batch
from bus_toolkit.step.encoders import Encoders
from bus_toolkit.step.pass_key import Hidden
from bus_toolkit.step.step import Step
from bus_toolkit.structures import Condition, Similarity

_Head = TypeVar("_Head", bound="VLPHead")


class ReadWeights(Protocol):
    """Reads a checkpoint file."""

    def __call__(self, path: str, *, same_words: bool = False) -> Mapping[str, Tensor]:
        """Return the tensors of a checkpoint by name, without running code in it.

        Args:
            path: A file on this machine, or an http(s) address of one.
            same_words: They have a row a word: refuse those that were trained with other words than the model's.

        Raises:
            CheckpointError: It cannot be read, or was trained with other words.
        """


class Feed(Enum):
    """What one head computes for others."""

    SIMILARITY = "similarity"
    """``HeadOutput.similarity``, which heads that run later find in ``step.similarity``."""
    PROJECTIONS = "projections"
    """``head.projections``: the maps ``image`` and ``text`` into a common space; the momentum branch copies them."""


class Copied(Enum):
    """What the momentum model needs a copy of, beside the encoders, for a head that distils."""

    FUSION = "fusion"
    TEXT_DECODER = "text_decoder"
    HEAD = "head"
    """The head itself: its prediction layers."""


class NestedPart(NamedTuple):
    """A part that a head takes as an argument: the registry it is from, and its node where the config gives none."""

    registry: str
    default: Mapping[str, Any]


@dataclass(frozen=True)
class HeadOutput:
    """What ``VLPHead.loss`` returns.

    Attributes:
        losses: Scalars that are trained on, by objective: ``itc`` is logged as ``loss_itc``.
        logs: Further scalars to log under their names, without gradient.
        similarity: For heads that run later, from one that provides ``Feed.SIMILARITY``.
        carry: What the head wants to get back in ``after_step``, such as features for a queue; without gradient.
    """

    losses: Mapping[str, Tensor]
    logs: Mapping[str, Tensor] = field(default_factory=dict)
    similarity: Similarity | None = None
    carry: Any = None


class VLPHead(nn.Module):
    """Base of all heads: an objective with its loss and its predictions. Goes into ``model.heads.<name>``.

    A head is known by its class, never by its name in the YAML file. It implements ``loss``, and ``predict`` if it has
    predictions, and declares by class attributes:

    - ``sees``: the text under which an image may be encoded in its loss without giving the answer away; a head whose
      target is in the caption must not see the caption. ``conditioning.mode`` decides from it what ``step.visual()``
      is: ``strict`` keeps to it, ``free_itc`` follows ``FREE`` and ``own_prefix`` ``PREFIX`` and show all others the
      caption, ``shared`` and ``masked`` show all heads the same. ``strict`` refuses a head that declares nothing.
    - ``provides``: ``Condition.MASKED`` or ``Condition.PREFIX`` for a head that hides a part of the caption; it
      implements ``hide`` (one without the other is refused), and images are encoded under what ``hide`` leaves. A head
      that ``sees`` such a condition and provides none gets that of the one head that does. Or a ``Feed``, for other
      heads.
    - ``uses``: feeds of other heads; those run earlier. A feed that no head provides is ``None``.
    - ``needs_fusion``, ``needs_text_decoder``, ``needs_momentum``: parts without which the config is refused.
    - ``distils``: what the momentum model must have (``Copied``) to give soft targets to this head. Such a head takes
      an argument ``alpha``, their share, and hands it on to this class; with 0 nothing is copied for it.
    - ``needs_supervised_scores``: its losses are 0 unless a selector is ``supervised``; without one it takes no part in
      a training, and a warning says so. A head that reads the scores of any selector (``step.selections()``) leaves it
      ``False``.
    - ``needs_towers``: it reads the visual tokens themselves (``step.visual()``), not only fused ones; refused in a
      single-stream model, where these are patches that no block has seen.
    - ``several_images``: it can work with more than one image a text.
    - ``waits_for_device``: its loss reads numbers of a GPU, which stops it once a step, as one that scores written
      texts does; the conformance kit refuses that of others.
    - ``predicts``: what ``predict`` may return, by name. An evaluation that reads none of it does not call ``predict``.
      A class that implements ``predict`` and does not say so is always called.
    - ``gives_answers``: its prediction is the answer to an image and its text, and so a part of what inference costs;
      that of an objective of pre-training or of a loss on the selection is not.
    - ``nested_parts``: arguments that the model builder turns from a YAML node into a part.

    Constructor arguments that the builder fills in where the YAML file does not give them: ``embed_dim`` (width of the
    visual tokens), ``text_dim`` (of text and fused tokens), ``patch_size`` (pixels), ``vocabulary``
    (``structures.Vocabulary``).

    Args:
        weight: Factor of the losses in the sum.
        start_epoch: The losses join in at this epoch (fractions count).
        alpha: Share of the momentum model's soft targets; ``model.momentum.alpha_ramp_epochs`` lets it grow to that.

    Raises:
        ValueError: A negative or infinite weight or start, or ``alpha`` outside [0, 1].
    """

    sees: ClassVar[Condition | None] = None
    provides: ClassVar[tuple[Condition | Feed, ...]] = ()
    uses: ClassVar[tuple[Feed, ...]] = ()
    needs_fusion: ClassVar[bool] = False
    needs_text_decoder: ClassVar[bool] = False
    needs_momentum: ClassVar[bool] = False
    distils: ClassVar[tuple[Copied, ...]] = ()
    needs_supervised_scores: ClassVar[bool] = False
    needs_towers: ClassVar[bool] = False
    several_images: ClassVar[bool] = False
    waits_for_device: ClassVar[bool] = False
    gives_answers: ClassVar[bool] = False
    nested_parts: ClassVar[Mapping[str, NestedPart]] = {}
    predicts: ClassVar[tuple[str, ...] | None] = ()

    def __init__(self, *, weight: float = 1.0, start_epoch: float = 0.0, alpha: float = 0.0) -> None:
        super().__init__()
        for argument, value in (("weight", weight), ("start_epoch", start_epoch)):
            if not 0.0 <= value < math.inf:
                raise ValueError(f"{argument}: must be 0 or more, and finite, got {value}.")
        if not 0.0 <= alpha <= 1.0:
            raise ValueError(f"alpha: must be in [0, 1], got {alpha}. ALBEF has 0.4; 0 is hard targets alone.")
        self.weight = weight
        self.start_epoch = start_epoch
        self.alpha = alpha

    @property
    def momentum_parts(self) -> tuple[Copied, ...]:
        """What the momentum branch copies for this head: ``distils``, or nothing with ``alpha: 0``."""
        return self.distils if self.alpha else ()

    def loss(self, step: Step) -> HeadOutput:
        """Return the losses of a batch and what else comes with them.

        Args:
            step: The batch as this head sees it; in a batch of several sources, the rows that serve this head.
        """
        raise NotImplementedError(f"{type(self).__name__} has no loss(step).")

    def predict(self, step: Step) -> dict[str, Any]:
        """Return named predictions, each with one entry a sample, ``None`` where there is nothing.

        ``step.visual()`` is under the sample's caption here, whatever ``sees`` says: that is how a question or a
        caption is asked. A head whose target is in the caption asks for ``step.visual(Condition.FREE)``. What costs a
        pass of its own may be left out unless ``step.wants`` its name.
        """
        return {}

    def hide(self, batch: Batch) -> Hidden:
        """Return the captions with what is hidden; for a head that provides a condition. Called once a batch."""
        raise NotImplementedError(f"{type(self).__name__} provides a condition and has no hide().")

    def setting_problems(self, encoders: Encoders) -> Iterator[tuple[str, str]]:
        """Yield arguments that do not go with the parts of the model, and why; asked once, when the model is built.

        Args:
            encoders: The parts, and what selects in a pass without text.
        """
        yield from ()

    def load_weights(self, read: ReadWeights, path: str) -> None:
        """Load what the head needs from files of its own; called when a training starts, not when one is resumed.

        Args:
            read: Reads a checkpoint file.
            path: The head's place in the config, for messages.
        """

    def after_step(self, carried: Sequence[Any]) -> None:
        """Update state that is not trained by gradient, after the optimizer's step.

        Args:
            carried: ``HeadOutput.carry`` of the step's groups of rows that had one.
        """


def find_head(heads: Iterable[nn.Module], kind: type[_Head]) -> _Head | None:
    """Return the first head of a class or its subclasses; ``None`` without one."""
    return next((head for head in heads if isinstance(head, kind)), None)


def need_head(heads: Mapping[str, nn.Module] | nn.ModuleDict, kind: type[_Head], purpose: str) -> _Head:
    """Return the first head of a class or its subclasses.

    Raises:
        ComponentError: There is none.
    """
    head = find_head(heads.values(), kind)
    if head is None:
        raise ComponentError(
            f"model.heads: {purpose} needs an {kind.__name__}, got {', '.join(heads) or 'none'}. Add it."
        )
    return head
