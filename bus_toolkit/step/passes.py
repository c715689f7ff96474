"""The encodings of a batch: each pass is run when a head first asks for it, and its result is shared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property, partial

from torch import Tensor

from bus_toolkit.errors import ComponentError
from bus_toolkit.step.batch import SELECTING_TEXT, Batch
from bus_toolkit.step.encoders import Encoders
from bus_toolkit.step.momentum import MomentumModel, MomentumPasses
from bus_toolkit.step.pair_exchange import PairExchange
from bus_toolkit.step.pass_key import Hidden, PassCount, PassKey
from bus_toolkit.step.texts import Texts
from bus_toolkit.structures import Condition, PatchScores, Selection, SharedTokens, TextTokens, VisualTokens


class Passes:
    """Encodings of one batch, lazy and cached.

    The blocks before the first selector run once, for all conditions; the rest once a condition, and once more for
    pairs whose wrong texts select. Region rows share the text pass and the first blocks, and go no further than the
    last selector. Where an image has several texts, what reads none of them runs once an image: the first blocks, and
    a pass without text as a whole, whose tokens are then repeated for each row.

    Args:
        batch: The rows.
        encoders: What encodes them.
        hide: For each pass whose text a head provides, the head's ``hide``.
        pairs_are_reencoded: Whether the text of a wrong pair selects the patches, which needs a pass of its own.
        momentum: The momentum branch.
        shared: The tokens of all images before the first selector, where they are known already.

    Attributes:
        texts: The encoded texts.
        counts: What the passes so far cost, by name: that of their key, ``pairs``, or the name that a head gave.
    """

    def __init__(
        self,
        batch: Batch,
        encoders: Encoders,
        hide: Mapping[PassKey, Callable[[Batch], Hidden]],
        *,
        pairs_are_reencoded: bool = False,
        momentum: MomentumModel | None = None,
        shared: SharedTokens | None = None,
    ) -> None:
        self.batch = batch
        self.encoders = replace(encoders, on_fused=partial(self._counted, name="fused"))
        self.counts: dict[str, PassCount] = {}
        self.texts = Texts(batch, encoders, hide)
        self._pairs_are_reencoded = pairs_are_reencoded
        self._momentum, self._given = momentum, shared
        self._visual: dict[PassKey, VisualTokens] = {}
        # What the prior adds under a text that is not the one which is fused.
        self._priors: dict[PassKey, Tensor] = {}
        # Those of a single-stream model, whose selectors act in the fusion.
        self._reduced: dict[PassKey, VisualTokens] = {}

    @cached_property
    def all_shared(self) -> SharedTokens:
        """The tokens of all images before the first selector, region rows included."""
        return self.encoders.encode_shared(self.batch.images) if self._given is None else self._given

    @cached_property
    def shared(self) -> SharedTokens:
        """Those of the caption rows' images."""
        return self.all_shared.index(slice(0, self.batch.num_caption_images))

    @cached_property
    def region_shared(self) -> SharedTokens:
        """Those of the region rows' images."""
        return self.all_shared.index(slice(self.batch.num_caption_images, None))

    @cached_property
    def momentum(self) -> MomentumPasses | None:
        """What the momentum model makes of the batch; ``None`` without one."""
        return None if self._momentum is None else MomentumPasses(self.batch, self._momentum, self.texts)

    def visual(self, key: PassKey) -> VisualTokens:
        """Return the images under a condition: B x ``num_images`` rows, those of a text next to each other."""
        asked, key = key, self._effective(key)
        if key not in self._visual:
            visual = self.encoders.encode_visual(self.shared, self.texts.conditioning(key))
            if self.encoders.stream is None:
                self.counts[str(key)] = PassCount.of(visual)
            self._visual[key] = visual.repeat_each(self._texts_a_row(key))
        return self._with_prior(self._visual[key], asked)

    def _with_prior(self, visual: VisualTokens, key: PassKey) -> VisualTokens:
        """Return the images with the prior of the text that selects, where it is not the one that is fused."""
        is_other = key.condition is Condition.CAPTION and self.batch.selecting_tokens is not None
        if self.encoders.prior is None or not is_other:
            return visual
        if key not in self._priors:
            text = self.texts.conditioning(key)
            assert text is not None, "a caption conditions this pass"
            self._priors[key] = self.encoders.prior(text, visual)
        return replace(visual, prior=self._priors[key])

    def reduced(self, key: PassKey) -> VisualTokens:
        """Return the images as all selectors leave them, rows as in ``visual``, which it is but for a single stream."""
        if self.encoders.stream is None:
            return self.visual(key)
        key = self._selecting(key)
        if key not in self._reduced:
            visual = self.encoders.encode_reduced(self.shared, self.texts.conditioning(key))
            self.counts[str(key)] = PassCount.of(visual)
            self._reduced[key] = visual.repeat_each(self._texts_a_row(key))
        return self._reduced[key]

    def images_under(self, image_rows: Tensor, text: TextTokens, counted_as: str = "pairs") -> VisualTokens:
        """Return the images of this rank's rows ``image_rows`` (R,), each under its row of ``text`` (R, L, D)."""
        self._refuse_another_text()
        if not self.encoders.selects_by_text:  # a text cannot change the pass that there is
            return self.visual(PassKey(Condition.FREE)).index(image_rows)
        shared = self.shared.index(image_rows // self.batch.num_texts)
        return self._counted(self.encoders.encode_visual(shared, text), counted_as)

    def selections_under(self, text: TextTokens, counted_as: str) -> list[Selection]:
        """Return what the selectors decide on all rows, region rows last, each under its row of ``text``."""
        self._refuse_another_text()
        return self._scored(self.all_shared, text, counted_as)

    def pairs(
        self, key: PassKey, image_rows: Tensor, text_rows: Tensor, *, local: bool = False
    ) -> tuple[VisualTokens, TextTokens]:
        """Return images and texts paired by the row numbers (R,) of all ranks; the images under the conditioning mode.

        Where the mode re-encodes pairs, the text of each pair selects, for a head that sees captions; elsewhere an
        image is the same in all its pairs. Of other ranks only the rows that are named come here.

        Args:
            key: The pass of the head that asks.
            image_rows: Numbers of rows, as many on every rank.
            text_rows: As many.
            local: All of them are rows of this rank, on every rank: nothing is exchanged.
        """
        self._refuse_another_text()
        # The texts of the pairs are whole: to select by them would show a head what its own condition hides.
        reencoded = self._pairs_are_reencoded and key.condition is Condition.CAPTION and self.encoders.reads_text
        visual = None if reencoded else self.visual(key)
        if visual is None or visual.unrepeated is not None:
            image_rows = self.batch.images_of(image_rows)
        own = self.shared.tokens if visual is None else visual.of_images.embeds
        exchange = PairExchange.of(self.texts.captions, image_rows, text_rows, num_images=own.shape[0], local=local)
        text = exchange.text()
        if visual is None:
            return self._counted(self.encoders.encode_visual(exchange.shared(self.shared), text), "pairs"), text
        prior = self.encoders.prior
        return exchange.visual(visual.of_images, with_scores=prior is not None and prior.needs_scores), text

    def _refuse_another_text(self) -> None:
        """Refuse to let a text of a head's choice select where the data samples say which one does.

        Raises:
            ComponentError: They do.
        """
        if self.batch.selecting_tokens is not None:
            raise ComponentError(
                f"{SELECTING_TEXT}: a head lets texts of its own select (step.pairs, images_under, selections_under), "
                "got data samples with another one that selects. Leave the metrics of this head out of the evaluation."
            )

    def prior_scores(self, key: PassKey) -> PatchScores | None:
        """Return the trainable scores of the model's prior on all rows, region rows last; ``None`` without any.

        A prior reads what the fusion reads: the tokens of the pass that there is. Region rows, which no fusion reads,
        go through the rest of the backbone for it.
        """
        text = self.texts.conditioning(key) if self.encoders.scores_by_text else None
        if text is None:
            return None
        visual = self.visual(key)
        if visual.unrepeated is not None and len(text.pooled) < len(visual.embeds):
            visual = visual.unrepeated  # the text is no row's own
        scores = self.encoders.prior_scores(visual, text)
        if scores is not None and self.batch.has_region_rows:
            regions = self._prior_scores(self.region_shared, self.texts.conditioning_region_rows(key))
            scores = None if regions is None else scores.followed_by(regions)
        return None if scores is None else scores.repeat_each(self._texts_a_row(key))

    def prior_scores_under(self, text: TextTokens) -> PatchScores | None:
        """As ``prior_scores``, each row under its row of ``text``."""
        if not self.encoders.scores_by_text:
            return None
        if self.batch.has_region_rows or self.encoders.reads_text:
            return self._prior_scores(self.all_shared, text)
        return self.encoders.prior_scores(self.visual(PassKey(Condition.FREE)), text)

    def _prior_scores(self, shared: SharedTokens, text: TextTokens | None) -> PatchScores | None:
        """Score images in a pass of their own under ``text``."""
        if text is None:
            return None
        visual = self._counted(self.encoders.encode_visual(shared, text), "prior_scores")
        return self.encoders.prior_scores(visual, text)

    def selections(self, key: PassKey) -> list[Selection]:
        """Return what the selectors decided on all rows, region rows last."""
        # Another caption is compared with the own one, also where no part that reads text could make a difference.
        key = key if key.condition is Condition.OTHER_CAPTION else self._selecting(key)
        # Region rows are scored too, so the cached pass of the caption rows is not enough.
        if self.batch.has_region_rows:
            return self._scored_under(key, self.all_shared, self.texts.conditioning_all_rows(key))
        known = self._visual if self.encoders.stream is None else self._reduced
        if key in known:
            return known[key].selections
        return self._scored_under(key, self.shared, self.texts.conditioning(key))

    def _scored_under(self, key: PassKey, shared: SharedTokens, text: TextTokens | None) -> list[Selection]:
        selections, count = self._scored(shared, text, f"{key}_scores"), self._texts_a_row(key)
        return selections if count == 1 else [selection.repeat_each(count) for selection in selections]

    def _scored(self, shared: SharedTokens, text: TextTokens | None, name: str) -> list[Selection]:
        selections = self.encoders.encode_scores(shared, text)
        rows = shared.tokens.shape[0] if text is None or not self.encoders.blocks_read_text else text.embeds.shape[0]
        count = PassCount.of_selections(selections, rows, self.encoders.backbone.num_prefix)
        self.counts.setdefault(name, count)
        return selections

    def _texts_a_row(self, key: PassKey) -> int:
        """Return for how many rows one row of a pass serves: a pass without text is run once an image."""
        return self.batch.num_texts if key.condition is Condition.FREE else 1

    def _counted(self, visual: VisualTokens, name: str) -> VisualTokens:
        if name != "fused" and self.encoders.stream is not None:
            return visual  # only embedded: what fuses them is counted
        count = PassCount.of(visual)
        if name in self.counts:
            count.rows += self.counts[name].rows
        self.counts[name] = count
        return visual

    def _effective(self, key: PassKey) -> PassKey:
        """Return the key under which the pass is run: without a part that reads text, all conditions are one."""
        return key if self.encoders.reads_text else PassKey(Condition.FREE)

    def _selecting(self, key: PassKey) -> PassKey:
        """As ``_effective``, for what selectors decide: in a single stream, too."""
        return key if self.encoders.selects_by_text else PassKey(Condition.FREE)
