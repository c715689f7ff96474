"""The assembly: text encoder, token-reducing backbone, decoder, fusion, text decoder and heads."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

from mmengine.model import BaseModel
from torch import Tensor, nn

from bus_toolkit.errors import DataError
from bus_toolkit.heads.base import VLPHead
from bus_toolkit.models import asking
from bus_toolkit.models.asking import Texts
from bus_toolkit.models.batch_copies import copy_images_only
from bus_toolkit.models.check_calls import check_batch, check_progress
from bus_toolkit.models.check_parts import check_built_parts, check_settings
from bus_toolkit.models.check_prior import trains_prior
from bus_toolkit.models.conditioning import Conditioning
from bus_toolkit.models.head_losses import idle_heads, run_heads
from bus_toolkit.models.head_plan import plan_heads
from bus_toolkit.models.layer_depth import layer_depth
from bus_toolkit.models.momentum import MomentumBranch, copied_parts, followed_parts
from bus_toolkit.models.predictions import write_predictions
from bus_toolkit.models.source_groups import split_by_objectives
from bus_toolkit.ops.collective import mean_logs_over_ranks
from bus_toolkit.step.batch import Batch
from bus_toolkit.step.encoders import Encoders
from bus_toolkit.step.parts import Parts
from bus_toolkit.step.pass_key import PassCount, total_counts
from bus_toolkit.step.passes import Passes
from bus_toolkit.structures import SharedTokens, VisualTokens
from bus_toolkit.weights.reading import read_weights
from bus_toolkit.weights.settings import Pretrained, load_parts
from bus_toolkit.weights.words import words_of

_log = logging.getLogger(__name__)


class VLPModel(BaseModel):
    """A vision-language model that looks at fewer visual tokens.

    1. captions -> ``text_encoder`` -> text tokens (B, L, D) and their [CLS];
    2. images -> ``backbone`` with selectors, conditioned as ``conditioning`` says -> visual tokens (B, P + S, D_v);
    3. -> ``decoder`` -> fewer visual tokens;
    4. text + visual -> ``fusion``, under a ``prior`` if there is one (and ``text_decoder`` for generation);
    5. ``heads`` turn these into losses or predictions.

    Args:
        parts: Tokenizer, encoders, decoder, prior, fusion and text decoder.
        heads: Objectives by name; those that feed others (``VLPHead.provides``) run first, the rest in this order.
        conditioning: Which text conditions the image for which head.
        momentum: Settings of the momentum branch (``MomentumBranch``); ``None`` goes without.
        pretrained: By part, weights that ``init_weights`` loads.
        data_preprocessor: MMEngine's hook for normalising images on the device.

    Attributes:
        epoch: Set by ``set_progress`` alone, as ``iteration``; outside of a training all heads take part.
        noise_seed: Of the noise that all ranks share; a training sets it, ``None`` is torch's seed.
        idle_heads: Heads that take no part in the loss, since no selector has the supervised scores that they train.
        wanted_fields: What an evaluation reads of the predictions, set for its length; ``None`` for all.
        token_counts: What each kind of pass of the last training step cost (``step.PassCount``), by condition.

    Raises:
        ConfigError: Parts or heads that cannot work together.
    """

    def __init__(
        self,
        parts: Parts,
        heads: Mapping[str, VLPHead],
        *,
        conditioning: Conditioning | None = None,
        momentum: Mapping[str, Any] | None = None,
        pretrained: Mapping[str, Pretrained] | None = None,
        data_preprocessor: Mapping[str, Any] | nn.Module | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor)
        copy_images_only(self.data_preprocessor)
        check_built_parts(parts, heads, momentum)
        self.conditioning = conditioning or Conditioning()
        self.encoders = Encoders.of(parts, self.conditioning.without_text, self.conditioning.prompt)
        check_settings(heads, self.encoders)
        # Registered under their own names, which are those of the state dict.
        self.tokenizer, self.text_encoder, self.backbone = parts.tokenizer, parts.text_encoder, parts.backbone
        self.decoder, self.fusion, self.text_decoder = parts.decoder, parts.fusion, parts.text_decoder
        self.prior = parts.prior
        distilling = [name for name, head in heads.items() if head.momentum_parts]
        self.plan = plan_heads(heads, self.conditioning, momentum=momentum, distilling=distilling)
        self.heads: Any = nn.ModuleDict({name: heads[name] for name in self.plan.order})
        self.momentum: MomentumBranch | None = None
        if momentum is not None:
            followed = followed_parts(heads, self.plan.projections, has_prior=parts.prior is not None)
            self.momentum = MomentumBranch(self, followed, **momentum)
            self._register_load_state_dict_pre_hook(self.momentum.start_from_weights)
        self.idle_heads = idle_heads(heads, parts.backbone.selectors, prior_is_trained=trains_prior(parts))
        self.pretrained = pretrained or {}
        self.epoch, self.iteration = float("inf"), 0
        self.noise_seed: int | None = None
        self.wanted_fields: frozenset[str] | None = None
        self.token_counts: dict[str, PassCount] = {}
        self._carried: dict[str, list[Any]] = {}
        self._last_iteration: int | None = None
        self._was_warned = False

    def encode(self, images: Tensor, texts: Texts | None = None) -> VisualTokens:
        """Return the visual tokens of images under a text each, or without one.

        Args:
            images: Normalised floats (B, 3, H, W); ``bus_toolkit.inference.ImagePreprocessor`` makes them.
            texts: One an image; a single text or image goes with all of the other. ``None`` is a pass without text.

        Raises:
            DataError: Images of another shape, size, dtype or device, or with NaN; texts that are none, or not as many.
            ComponentError: Texts for a model in which nothing that selects or decodes reads them.
        """
        return asking.encode(self, images, texts)

    def similarity(self, images: Tensor, texts: Texts) -> Tensor:
        """Return the cosine (B, T) of each image with each text, from features that the other side did not touch.

        Raises:
            DataError: As ``encode``.
            ComponentError: The model has no ITC head.
        """
        return asking.similarity(self, images, texts)

    def match(self, images: Tensor, texts: Texts) -> Tensor:
        """Return how probable it is that each image and its text belong together, (B,), the text selecting the patches.

        Raises:
            DataError: As ``encode``.
            ComponentError: The model has no ITM head.
        """
        return asking.match(self, images, texts)

    def passes(self, images: Tensor, data_samples: Sequence[Any], shared: SharedTokens | None = None) -> Passes:
        """Return the encodings of a batch, of which nothing is computed yet but ``shared``, where that is given."""
        ready = self.encoders.prepared_tokens(data_samples)
        batch = Batch(images, data_samples, self.encoders.tokenize, self.iteration, tokens=ready, seed=self.noise_seed)
        hide = {key: self.heads[name].hide for key, name in self.plan.providers.items()}
        return Passes(
            batch,
            self.encoders,
            hide,
            pairs_are_reencoded=self.conditioning.pairs_are_reencoded,
            momentum=self.momentum,
            shared=shared,
        )

    def forward(
        self, images: Tensor, data_samples: Sequence[Any] | None = None, mode: str = "tensor"
    ) -> dict[str, Tensor] | list[Any] | VisualTokens:
        """Run MMEngine's mode on images (B, 3, H, W), or I a text (B, I, 3, H, W): losses, samples or tokens."""
        _refuse_texts(data_samples or ())
        if mode == "loss":
            return self.loss(images, data_samples or [])
        if mode == "predict":
            return self.predict(images, data_samples or [], fields=self.wanted_fields)
        images = images.flatten(0, 1) if images.dim() == 5 else images
        return self.encoders.encode_reduced(self.encoders.encode_shared(images), self.encoders.free_text(len(images)))

    def loss(self, images: Tensor, data_samples: Sequence[Any]) -> dict[str, Tensor]:
        """Return every active head's losses, weighted, and figures to log; a head runs on the rows that serve it.

        Args:
            images: Normalised, (B / Q, 3, H, W), or I a text (B, I, 3, H, W).
            data_samples: B, each with a ``text``; the Q texts of an image next to each other, with its ``image_id``.

        Raises:
            DataError: ``data_samples`` are no data samples, or do not belong to the images.
        """
        check_batch(images, data_samples)
        groups = split_by_objectives(images, data_samples, self.heads)
        passes = [self.passes(group.images, group.samples) for group in groups]
        heads = {name: head for name, head in self.heads.items() if name not in self.idle_heads}
        values, self._carried = run_heads(heads, self.plan, groups, passes, self.epoch)
        self.token_counts = total_counts(part.counts for part in passes)
        return values

    def predict(
        self,
        images: Tensor,
        data_samples: Sequence[Any],
        shared: SharedTokens | None = None,
        *,
        fields: Collection[str] | None = None,
    ) -> list[Any]:
        """Write the heads' predictions, and which patches the own caption kept, into the data samples.

        Args:
            images: As for ``loss``.
            data_samples: Each with a ``text``.
            shared: The images before the first selector, if they have been encoded already.
            fields: Names of the predictions that are read: heads that give none of them do not run. ``None`` for all.
        """
        write_predictions(self.heads, self.passes(images, data_samples, shared), fields)
        return list(data_samples)

    def parse_losses(self, losses: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Sum the losses, and average what is logged over the ranks."""
        total, log_vars = super().parse_losses(losses)
        return total, mean_logs_over_ranks(log_vars)

    def init_weights(self) -> None:
        """Initialise the backbone as its class says; load weights of model, parts, heads, or raise CheckpointError."""
        if hasattr(self.backbone.vit, "init_weights"):  # OpenMMLab's; others initialise themselves in their constructor
            self.backbone.vit.init_weights()
        words = words_of(self.tokenizer)
        load_parts(self, self.pretrained, copied_parts(self), words)
        for name, head in self.heads.items():
            head.load_weights(partial(read_weights, words=words), f"model.heads.{name}")
        if self.momentum is not None:
            self.momentum.restart(self)

    def set_progress(self, epoch: float, iteration: int) -> None:
        """Set how far training is; schedules (keep ratios, late heads) and fresh noise follow it.

        Raises:
            ConfigError: ``epoch`` is no number of 0 or more, or ``iteration`` no whole one.
        """
        check_progress(epoch, iteration)
        self.epoch, self.iteration = epoch, iteration
        self.backbone.set_progress(epoch)
        if self.momentum is not None:
            self.momentum.set_progress(epoch)

    def after_step(self, stepped: bool = True) -> None:
        """Update momentum copies (if the optimizer ``stepped``) and the heads' own state after a batch.

        In a loop of your own, call it after each optimizer step, and ``set_progress`` before each ``loss``.
        """
        if self.training and self._last_iteration == self.iteration and not self._was_warned:
            self._was_warned = True
            _log.warning(
                "VLPModel: two steps at iteration %d. Hidden words and wrong pairs are drawn alike in both, and keep "
                "ratios and late heads do not move. Call model.set_progress(epoch, iteration) before each step.",
                self.iteration,
            )
        self._last_iteration = self.iteration
        if self.momentum is not None and stepped:
            self.momentum.update(self)
        for name, head in self.heads.items():
            head.after_step(self._carried.pop(name, []))

    def get_layer_depth(self, param_name: str, prefix: str = "") -> tuple[int, int]:
        """Return how deep a parameter lies and of how many depths; optimizers with layer-wise rates ask."""
        return layer_depth(self.backbone, self.text_encoder, param_name.removeprefix(prefix))


def _refuse_texts(data_samples: Sequence[Any]) -> None:
    if any(isinstance(sample, str) for sample in data_samples):
        raise DataError(
            "VLPModel: data_samples must be data samples, got texts, which no mode reads. "
            "Write model.encode(images, texts) for visual tokens under texts."
        )
