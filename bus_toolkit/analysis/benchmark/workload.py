"""The work that is timed and counted on a made-up batch: a training step, pairs as in inference, or vision alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, Literal, Protocol

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor, nn
from typing_extensions import override

from bus_toolkit.analysis.macs import Method
from bus_toolkit.errors import ConfigError
from bus_toolkit.models.predictions import write_predictions
from bus_toolkit.models.vlp import VLPModel
from bus_toolkit.ops.precision import at_least_float32
from bus_toolkit.structures import Selection, VisualTokens

Scope = Literal["vision", "pair", "answer", "model"]


class Passes:
    """A model with a batch, as two functions without arguments: ``forward`` and ``step``.

    Args:
        model: The model.
        scope: Which of the four.
        batch: Images (B, 3, H, W), or I a text (B, I, 3, H, W), and their data samples: one or several an image.
        autocast: Makes the region that forward passes run in; ``nullcontext`` for full precision.
        optimizer: Steps after the backward pass of scope ``model``.
    """

    def __init__(
        self,
        model: Any,
        scope: Scope,
        batch: tuple[Tensor, Sequence[Any]],
        *,
        autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
        optimizer: torch.optim.Optimizer | None = None,
    ) -> None:
        self.model, self.scope = model, scope
        self.images, self.samples = batch
        self.autocast, self.optimizer = autocast, optimizer

    def forward(self) -> None:
        """Run a forward pass in evaluation mode, without gradient."""
        self.model.eval()
        with torch.no_grad(), self.autocast():
            self._outputs()

    def step(self) -> None:
        """Run a training step; the gradients stay."""
        self.model.train()
        with self.autocast():
            loss = self._outputs()
        loss.backward()
        if self.scope == "model":
            if self.optimizer is not None:
                self.optimizer.step()
            self._after_step()

    def _outputs(self) -> Tensor:
        """Run the work, and return what a step goes backward from."""
        raise NotImplementedError

    def _after_step(self) -> None:
        """Update what no gradient trains."""


class Workload(Passes):
    """The work of a ``VLPModel``.

    All scopes are conditioned by a text of the batch, as in training. ``vision`` is backbone, selectors and decoder.
    ``pair`` adds the text encoder before and the fusion after them, as inference on an image and its text needs them.
    The steps of both go backward from the sum of the tokens. ``answer`` adds what those heads predict of the pair that
    answer, if any do; it has no step. ``model`` is a training step with all heads, forward and backward, and the update
    of momentum copies and queues; the optimizer's part, the same for all models of one size, is left out unless there
    is an ``optimizer``.

    Args:
        model: The model.
        scope: Which of the four.
        batch: As for ``Passes``.
        **settings: As for ``Passes``.
    """

    def __init__(self, model: VLPModel, scope: Scope, batch: tuple[Tensor, Sequence[Any]], **settings: Any) -> None:
        super().__init__(model, scope, batch, **settings)
        self.tokens = model.encoders.tokenize([sample.text for sample in self.samples])
        with torch.no_grad():
            text = model.passes(self.images, self.samples).texts.captions
        self._num_images = num_images = self.images.shape[1] if self.images.dim() == 5 else 1
        # (texts, images of a text, 3, H, W) to (texts * images of a text, 3, H, W): the backbone sees single images.
        self._seen = self.images.flatten(0, 1) if num_images > 1 else self.images
        self.text = replace(text, embeds=text.embeds.detach(), pooled=text.pooled.detach()).repeat_each(num_images)

    @property
    def parts(self) -> dict[str, list[Method]]:
        """The methods by which MACs are distinguished."""
        model, backbone = self.model, self.model.backbone
        parts: dict[str, list[Any]] = {"selection": list(backbone.selectors), "decoder": [model.decoder]}
        if self.scope != "vision":
            parts["text encoder"] = [model.text_encoder]
            parts |= {"fusion": [model.fusion], "text decoder": [model.text_decoder]}
        methods = {name: [(m, "forward") for m in modules if m is not None] for name, modules in parts.items()}
        if self.model.encoders.stream is not None:  # the blocks run in the fusion, on words and patches
            names = ("forward", "image_alone", "text_alone")
            methods["fusion"] = [(self.model.encoders.stream, name) for name in names]
        if self.scope != "vision" and model.prior is not None:
            methods["prior"] = [(model.prior, "token_scores")]
        if self.scope == "model":
            passes = ("encode_text", "encode_visual", "fuse", "decode")
            methods["momentum"] = [] if model.momentum is None else [(model.momentum, name) for name in passes]
        return {"backbone": [(backbone, "forward_shared"), (backbone, "forward_conditioned")], **methods}

    @override
    def _after_step(self) -> None:
        self.model.after_step()
        self.model.set_progress(self.model.epoch, self.model.iteration + 1)

    def _encoded(self, backbone: Any) -> VisualTokens:
        """Return the batch through a backbone as a model runs it, without the checks of what a user gives by hand."""
        encoders = self.model.encoders
        if encoders.stream is not None:
            return encoders.encode_reduced(encoders.encode_shared(self._seen), self.text)
        blocks = encoders.for_blocks(backbone.forward_shared(self._seen), self.text)
        return backbone.forward_conditioned(blocks.shared, blocks.text).repeat_each(blocks.texts)

    def pass_with(self, around_selection: Callable[[], AbstractContextManager[Any]]) -> None:
        """Run the backbone, with something opened around each selection."""
        backbone = self.model.backbone
        with torch.no_grad(), self.autocast():
            blocks = self.model.encoders.for_blocks(backbone.forward_shared(self.images), self.text)
            backbone.forward_conditioned(blocks.shared, blocks.text, around_selection=around_selection)

    def _evaluated(self) -> VisualTokens:
        """Return the batch through the backbone in evaluation, which drops what training may hide (DynamicViT)."""
        self.model.eval()
        with torch.no_grad(), self.autocast():
            return self._encoded(self.model.backbone)

    def selections(self) -> list[Selection]:
        """Return what the selectors decide on this batch in evaluation."""
        return self._evaluated().selections

    def tokens_per_block(self) -> list[int]:
        """Return how many tokens leave each block in evaluation, prefix included, and how many the decoder, last."""
        visual = self._evaluated()
        with torch.no_grad(), self.autocast():
            decoded = self.model.decoder(visual, self.text)
        left = {
            selection.block: selection.decision.plan.num_slots + visual.num_prefix for selection in visual.selections
        }
        tokens = [visual.num_prefix + visual.grid[0] * visual.grid[1]]
        for block in range(1, self.model.backbone.num_blocks + 1):
            tokens.append(left.get(block, tokens[-1]))
        return [*tokens[1:], decoded.embeds.shape[1]]

    def tokens_by_stage(self) -> dict[str, int]:
        """Return the same by the names of the stages."""
        *blocks, decoded = self.tokens_per_block()
        return {**{f"block {place}": count for place, count in enumerate(blocks, 1)}, "decoder": decoded}

    def tokens_for_decoder(self) -> int:
        """Return how many visual tokens reach the decoder in evaluation: patches and fused tokens, without prefix."""
        visual = self._evaluated()
        return visual.embeds.shape[1] - visual.num_prefix

    @override
    def _outputs(self) -> Tensor:
        if self.scope == "pair":
            return self._pairs()
        if self.scope == "answer":
            answering = {name: head for name, head in self.model.heads.items() if head.gives_answers}
            if not answering:
                return self._pairs()
            write_predictions(answering, self.model.passes(self.images, self.samples))
            return self.images.new_zeros(())
        if self.scope == "vision":
            visual: VisualTokens = self.model.decoder(self._encoded(self.model.backbone), self.text)
            return at_least_float32(visual.embeds).sum()
        losses = self.model(self.images, self.samples, mode="loss")
        return torch.stack([value for name, value in losses.items() if "loss" in name]).sum()

    def _pairs(self) -> Tensor:
        encoders = self.model.encoders
        text = encoders.encode_text(self.tokens).repeat_each(self._num_images)
        text = replace(text, named_cover=self.text.named_cover)
        visual = encoders.encode_visual(encoders.encode_shared(self._seen), text)
        return at_least_float32(encoders.fuse(text, visual).text).sum()


class Steps(Protocol):
    """A model that can run training steps."""

    @property
    def model(self) -> nn.Module:
        """The model."""

    def step(self) -> None:
        """Run a training step."""


def releasing(load: Steps) -> Callable[[], None]:
    """Return the step of ``load``, which frees its gradients, so that several models fit into memory."""

    def run() -> None:
        load.step()
        load.model.zero_grad(set_to_none=True)

    return run


def adamw(model: nn.Module) -> torch.optim.Optimizer:
    """Return the optimizer of measured steps, fused as training takes it."""
    return torch.optim.AdamW(model.parameters(), lr=1e-6, fused=True)


def made_up_batch(model: Any, size: int, text_length: int, *, texts_per_image: int = 1) -> tuple[Tensor, list[Any]]:
    """Return noise images and random words: speed does not depend on the content, and no data is needed.

    Args:
        model: A ``VLPModel`` or a ``CausalVLM``; gives resolution, vocabulary and device.
        size: Images, or captions where a head wants several images of each.
        text_length: Tokens of every caption, [CLS] and [SEP] included.
        texts_per_image: Captions of each image; each has one box, one label and one answer.

    Raises:
        ConfigError: Several texts an image for a head that wants several images a text.
    """
    noise = torch.Generator().manual_seed(0)
    height, width = model.backbone.image_size
    device = model.backbone.device
    heads = getattr(model, "heads", {})
    num_images = max((getattr(head, "num_images", 1) for head in heads.values()), default=1)
    if num_images > 1 and texts_per_image > 1:
        raise ConfigError(
            f"--texts-per-image: must be 1 for a model that reads {num_images} images a text, got {texts_per_image}."
        )
    images = torch.randn(size * num_images, 3, height, width, generator=noise).to(device)
    words = _words(model, noise)
    box = torch.tensor([[0.0, 0.0, width / 2, height / 2]])
    samples = []
    for row in range(size * texts_per_image):
        drawn = torch.randint(len(words), (text_length - 2,), generator=noise).tolist()
        text = " ".join(words[number] for number in drawn)
        samples.append(_made_up_sample(row, row // texts_per_image, text, box, words[row % len(words)]))
    return images if num_images == 1 else images.unflatten(0, (size, num_images)), samples


def _made_up_sample(row: int, image_id: int, text: str, box: Tensor, answer: str) -> BaseDataElement:
    sample = BaseDataElement(metainfo={"image_id": image_id})
    fields = {
        "text": text,
        "gt_boxes": box,
        "named": torch.ones(1, dtype=torch.bool),
        "gt_label": row % 2,
        "gt_answer": [answer],
        "gt_answer_weight": [1.0],
        "references": [text],
        "conversation": [(text, answer)],
    }
    for name, value in fields.items():
        sample.set_field(value, name, dtype=None)
    return sample


def _words(model: Any, noise: torch.Generator) -> list[str]:
    """Return some entries of the vocabulary that are words on their own, each one token."""
    tokenizer = model.tokenizer
    order = torch.randperm(tokenizer.vocab_size, generator=noise).tolist()
    names = tokenizer.convert_ids_to_tokens(order)
    return [name for name in names if name.isascii() and name.isalpha()][:500]
