"""What a head is given: a batch, its encodings, and the text under which it may see the images."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor, nn

from bus_toolkit.errors import ComponentError
from bus_toolkit.step.batch import Batch
from bus_toolkit.step.encoders import Encoders
from bus_toolkit.step.momentum import MomentumPasses
from bus_toolkit.step.pass_key import Hidden, PassKey
from bus_toolkit.step.passes import Passes
from bus_toolkit.structures import Condition, PatchScores, Selection, Similarity, TextTokens, VisualTokens

_T = TypeVar("_T")


@dataclass(frozen=True)
class Step:
    """One batch as one head sees it. Everything is computed when it is first asked for, once for all heads.

    - ``step.batch``: ids, labels, boxes, fields of the data samples, noise.
    - ``step.visual()``: the images under the head's own condition, which ``conditioning.mode`` decides from what the
      head declares (``VLPHead.sees``). In a training step a head can ask for another condition only if it is text-free,
      or what it declares: no mode's promise can be broken by a name.
    - ``step.encoders``: fusion, text decoder, tokenizer.

    Attributes:
        passes: The encodings, shared by all heads.
        key: The head's own pass.
        open: Conditions that the head may ask for beside its own.
        similarity: How alike images and texts are, from the head that provides it; ``None`` where none has.
        head: Who asks, for messages.
        name: The head's name in the model.
        wanted: The predictions that are read; ``None`` for all.
    """

    passes: Passes
    key: PassKey = PassKey(Condition.CAPTION)
    open: frozenset[Condition] = frozenset({Condition.FREE, Condition.CAPTION, Condition.OTHER_CAPTION})
    similarity: Similarity | None = None
    head: str = "step"
    name: str = ""
    wanted: Collection[str] | None = None

    @property
    def batch(self) -> Batch:
        """The rows."""
        return self.passes.batch

    @property
    def encoders(self) -> Encoders:
        """The parts that encode, fuse and write."""
        return self.passes.encoders

    @property
    def text(self) -> TextTokens:
        """The encoded captions (B, L, D)."""
        return self.passes.texts.captions

    @property
    def momentum(self) -> MomentumPasses | None:
        """What the momentum model makes of the batch; ``None`` without one."""
        return self.passes.momentum

    @property
    def momentum_head(self) -> nn.Module:
        """The momentum copy of the head itself, for one that declares ``Copied.HEAD``."""
        assert self.momentum is not None, "a head that distils has a momentum model"
        return self.momentum.head(self.name)

    def wants(self, prediction: str) -> bool:
        """Return whether somebody reads a prediction: what costs a pass of its own may be left out otherwise."""
        return self.wanted is None or prediction in self.wanted

    def once(self, compute: Callable[[Batch], _T]) -> _T:
        """Return ``compute(batch)`` of a head's method, such as its ``hide``, computed once a batch."""
        return self.passes.texts.once(compute)

    def text_of(self, hide: Callable[[Batch], Hidden]) -> TextTokens:
        """Return the encoded captions with what a head's ``hide`` leaves of them."""
        return self.passes.texts.text_of(hide)

    def visual(self, condition: Condition | None = None) -> VisualTokens:
        """Return the images (B x ``num_images`` rows, those of a text next to each other).

        Args:
            condition: ``None`` for the head's own.

        Raises:
            ComponentError: In a training step, a condition that the head does not declare.
        """
        return self.passes.visual(self._key(condition))

    def reduced(self, condition: Condition | None = None) -> VisualTokens:
        """Return the images as all selectors leave them: ``visual``, but where selectors act inside the fusion.

        That is so in a single-stream model, whose ``visual`` is embedded patches that no block and no text has touched.

        Args:
            condition: ``None`` for the head's own.

        Raises:
            ComponentError: As ``visual``.
        """
        return self.passes.reduced(self._key(condition))

    def image_alone(self) -> VisualTokens:
        """Return the images for a contrast: under the head's own condition, in a single stream without any text."""
        return self.passes.visual(self.key) if self.encoders.stream is None else self.reduced(Condition.FREE)

    @property
    def text_alone(self) -> TextTokens:
        """The captions for a contrast: as encoded, in a single stream without any image."""
        return self.passes.texts.alone

    def selections(self, condition: Condition | None = None) -> list[Selection]:
        """Return what the selectors decided on all rows, those for patch-text supervision last.

        Args:
            condition: ``None`` for the head's own.

        Raises:
            ComponentError: As ``visual``.
        """
        return self.passes.selections(self._key(condition))

    def pairs(self, image_rows: Tensor, text_rows: Tensor, *, local: bool = False) -> tuple[VisualTokens, TextTokens]:
        """Return images and whole captions paired by the row numbers (R,) of all ranks, as many on every rank.

        The images are under the head's own condition; for a head that sees captions, ``strict`` lets the caption of
        each pair select. ``local`` says that all rows are this rank's own: then nothing is exchanged.
        """
        return self.passes.pairs(self.key, image_rows, text_rows, local=local)

    def images_under(self, image_rows: Tensor, text: TextTokens, *, counted_as: str = "pairs") -> VisualTokens:
        """Return this rank's images at ``image_rows`` (R,), each under its row of a text of the head's choice.

        Args:
            image_rows: Numbers of this rank's rows; repeats are allowed.
            text: A text for each of them.
            counted_as: The name under which the pass is counted, in ``VLPModel.token_counts``.
        """
        return self.passes.images_under(image_rows, text, counted_as)

    def selections_under(self, text: TextTokens, *, counted_as: str) -> list[Selection]:
        """Return what the selectors decide on all rows, region rows last, each under its row of a head's own text."""
        return self.passes.selections_under(text, counted_as)

    def prior_scores(self, condition: Condition | None = None) -> PatchScores | None:
        """Return the scores of the model's prior on all rows, those for patch-text supervision last.

        ``None`` where no prior has scores that a patch-text head may train.

        Args:
            condition: ``None`` for the head's own.

        Raises:
            ComponentError: As ``visual``.
        """
        return self.passes.prior_scores(self._key(condition))

    def prior_scores_under(self, text: TextTokens) -> PatchScores | None:
        """As ``prior_scores``, each row under its row of a head's own text."""
        return self.passes.prior_scores_under(text)

    def _key(self, condition: Condition | None) -> PassKey:
        if condition is None or condition is self.key.condition:
            return self.key
        if condition not in self.open:
            names = ", ".join(sorted(c.value for c in self.open))
            raise ComponentError(
                f"{self.head}: sees {self.key.condition.value} in this mode and cannot ask for {condition.value} "
                f"(step.visual, step.selections). It may ask for {names}. Leave the argument out; or, if its target is "
                "not in that text, declare the condition as the head's class attribute `sees`."
            )
        return PassKey(condition)
