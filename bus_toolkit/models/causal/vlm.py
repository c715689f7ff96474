"""A vision-language model with a causal language model that reads visual tokens among words."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from bus_toolkit.heads.base import HeadOutput
from bus_toolkit.heads.patch_text import PatchTextHead
from bus_toolkit.models.batch_copies import copy_images_only
from bus_toolkit.models.causal.answers import Reader, Writing
from bus_toolkit.models.causal.attention_scores import AttentionScores
from bus_toolkit.models.causal.dialogs import DialogWriter, Row, Template, joined
from bus_toolkit.models.causal.inner_selection import InnerSelection
from bus_toolkit.models.causal.patch_supervision import patch_text_loss
from bus_toolkit.models.causal.prompts import Prompts
from bus_toolkit.models.causal.sight import SeenImages, Sight
from bus_toolkit.models.causal.tasks import Task
from bus_toolkit.models.causal.written import write_fields
from bus_toolkit.models.check_calls import check_batch, check_progress
from bus_toolkit.models.source_groups import mean_over_groups, split_by_objectives
from bus_toolkit.ops.collective import mean_logs_over_ranks, mean_over_ranks
from bus_toolkit.ops.precision import at_least_float32
from bus_toolkit.ops.to_device import to_device
from bus_toolkit.selectors.base import PatchSelector
from bus_toolkit.step.batch import Batch
from bus_toolkit.structures import TextTokens, TokenBatch, VisualTokens, Vocabulary
from bus_toolkit.text_decoders.causal_base import CausalLanguageModel
from bus_toolkit.weights.settings import Pretrained, load_parts
from bus_toolkit.weights.words import words_of


@dataclass(frozen=True)
class CausalParts:
    """The built parts, in the order in which data passes through them.

    Attributes:
        tokenizer: Texts to ids.
        backbone: With the selectors of ``model.vision_selectors``.
        decoder: ``VisualTokens`` to fewer ``VisualTokens``.
        projector: Their width to that of the language model.
        language_model: Reads visual tokens among words.
        selectors: Those between its layers.
    """

    tokenizer: Any
    backbone: TokenReducingBackbone
    decoder: nn.Module
    projector: nn.Module
    language_model: CausalLanguageModel
    selectors: Sequence[PatchSelector] = field(default=())


class CausalVLM(BaseModel):
    """Answer in words about an image, by a causal language model (as LLaVA does, arXiv 2304.08485).

    1. images -> ``backbone`` with ``vision_selectors`` -> ``decoder`` -> ``projector`` -> visual tokens (B, V, D);
    2. these take the place of the image in a dialog: question, visual tokens, answer, as a ``Template`` has it;
    3. ``language_model``, with ``selectors`` after its layers -> the next tokens. What selects reads the words between
       the image and the first answer, never an answer; positions stay those of the whole sequence.

    Losses are ``loss_<task>``, the mean cross-entropy of the answers' tokens and of the mark that ends them, and with
    ``patch_text`` also ``loss_<task>_ptm``. Gradients reach a selector through weights of tokens and through that loss.

    Args:
        parts: Tokenizer, towers and selectors.
        tasks: What is asked, by name. Rows of a batch serve all of them, or those that their ``objectives`` name.
        template: How dialogs are written down.
        writing: How answers are searched for.
        patch_text: Trains the scores of supervised selectors in both towers, for tasks whose question names objects.
        attention_layers: Layers of the language model, before any selection, whose attention it trains likewise.
        pretrained: By part, weights that ``init_weights`` loads.
        data_preprocessor: MMEngine's hook for normalising images on the device.

    Attributes:
        epoch: Set by ``set_progress`` alone.
        wanted_fields: What an evaluation reads of the predictions, set for its length; ``None`` for all.

    Raises:
        ConfigError: Parts that cannot work together.
    """

    def __init__(
        self,
        parts: CausalParts,
        tasks: Mapping[str, Task],
        *,
        template: Template | None = None,
        writing: Writing | None = None,
        patch_text: PatchTextHead | None = None,
        attention_layers: Sequence[int] = (),
        pretrained: Mapping[str, Pretrained] | None = None,
        data_preprocessor: Mapping[str, Any] | nn.Module | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor)
        copy_images_only(self.data_preprocessor)
        self.tokenizer, self.backbone, self.decoder = parts.tokenizer, parts.backbone, parts.decoder
        self.projector, self.language_model = parts.projector, parts.language_model
        self.selectors: Any = nn.ModuleList(parts.selectors)
        self.patch_text = patch_text
        self.tasks, self.writing = dict(tasks), writing or Writing()
        self.pretrained = pretrained or {}
        self.vocabulary = Vocabulary.of(parts.tokenizer)
        self.dialogs = DialogWriter(parts.tokenizer, template or Template(), self._longest())
        self.reader = Reader(parts.language_model, InnerSelection(parts.language_model.decoder, parts.selectors))
        num_whole = self.reader.selection.num_whole
        self.attention_scores = AttentionScores(parts.language_model.decoder, attention_layers, num_whole)
        self.epoch = float("inf")
        self.wanted_fields: frozenset[str] | None = None

    def _longest(self) -> int | None:
        """Return how many ids of a dialog the positions of the language model have room for, the image apart."""
        positions, grid = self.language_model.max_text_length, self.backbone.grid
        return None if positions is None else positions - grid[0] * grid[1] - 1

    def forward(
        self, images: Tensor, data_samples: Sequence[Any] | None = None, mode: str = "tensor"
    ) -> dict[str, Tensor] | list[Any] | VisualTokens:
        """Run MMEngine's mode on images (B, 3, H, W): losses, samples, or the tokens before the projector."""
        if mode == "loss":
            return self.loss(images, data_samples or [])
        if mode == "predict":
            return self.predict(images, data_samples or [], fields=self.wanted_fields)
        return self.look(images).free(len(images)).visual

    def look(self, images: Tensor) -> SeenImages:
        """Return images (I, 3, H, W) as the language model will read them."""
        return SeenImages(self.backbone, self.decoder, self.projector, images)

    def loss(self, images: Tensor, data_samples: Sequence[Any]) -> dict[str, Tensor]:
        """Return the weighted losses of all tasks, and the share of answers' tokens that are the likeliest ones.

        Args:
            images: Normalised, (B / Q, 3, H, W).
            data_samples: B; the Q texts of an image next to each other, with its ``image_id``.

        Raises:
            DataError: ``data_samples`` are no data samples, or do not belong to the images.
        """
        check_batch(images, data_samples)
        groups = split_by_objectives(images, data_samples, self.tasks, path="model.tasks")
        batches = [Batch(group.images, group.samples, _unread) for group in groups]
        seen = [self.look(batch.images) for batch in batches]
        values: dict[str, Tensor] = {}
        for name, task in self.tasks.items():
            served = [index for index, group in enumerate(groups) if group.serves(name)]
            outputs = [self._task_loss(name, task, batches[index], seen[index]) for index in served]
            output = mean_over_groups(outputs, [len(groups[index].samples) for index in served])
            values |= {**output.losses, **output.logs}
        return values

    def _task_loss(self, name: str, task: Task, batch: Batch, seen: SeenImages) -> HeadOutput:
        size = (batch.images.shape[2], batch.images.shape[3])
        asked = [_learned(task, sample, size) for sample in batch.samples]
        turns = task.turns(batch.num_texts)
        rows = self.dialogs.rows(joined(asked, turns))
        sight = self.sight(seen, rows)
        prompts = self.prompts(rows, sight)
        ends = prompts.question_ends[:, :turns]
        with self.attention_scores.reading(prompts.is_visual, ends) as attention:
            logits = at_least_float32(self.reader.logits(prompts, sight))
        truth = prompts.targets[2]
        losses = nn.functional.cross_entropy(logits, truth, reduction="none")
        ones = torch.ones_like(losses)
        right = mean_over_ranks((logits.detach().argmax(dim=1) == truth).to(losses.dtype), ones)
        values = {f"loss_{name}": task.weight * mean_over_ranks(losses, ones)}
        if self.patch_text is not None and task.names_objects:
            inner = self.reader.selection.selections()
            found = patch_text_loss(self.patch_text, batch.all_boxes, sight.visual, inner, attention, ends)
            if found is not None:
                values[f"loss_{name}_ptm"] = self.patch_text.weight * found
        return HeadOutput(values, {f"{name}_right": right})

    def sight(self, seen: SeenImages, rows: Sequence[Row]) -> Sight:
        """Return images as dialogs about them need them."""
        return seen.under(self._questions(rows)) if seen.reads_text else seen.free(len(rows))

    def prompts(self, rows: Sequence[Row], sight: Sight, *, left: bool = False) -> Prompts:
        """Lay dialogs out around visual tokens."""
        device = sight.tokens.device
        return Prompts.of(rows, sight.tokens.shape[1], pad_id=self.vocabulary.pad_id, device=device, left=left)

    def _questions(self, rows: Sequence[Row]) -> TextTokens:
        """Return the words that selectors in the backbone read, as the language model embeds them (our choice)."""
        ids = [[row.ids[at] for at in row.question] for row in rows]
        longest, pad = max(map(len, ids)), self.vocabulary.pad_id
        padded = to_device(torch.tensor([[*row, *[pad] * (longest - len(row))] for row in ids]), self.backbone.device)
        readable = torch.tensor([[True] * len(row) + [False] * (longest - len(row)) for row in ids])
        mask = to_device(readable, padded.device)
        embeds = self.language_model.model.get_input_embeddings()(padded)
        mean = (embeds * mask.unsqueeze(2)).sum(dim=1) / mask.sum(dim=1, keepdim=True)
        return TextTokens(embeds, mean, mask)

    @torch.no_grad()
    def predict(
        self, images: Tensor, data_samples: Sequence[Any], *, fields: Collection[str] | None = None
    ) -> list[Any]:
        """Write answers, and which patches were left at the end, into the data samples.

        Args:
            images: As for ``loss``.
            data_samples: As for ``loss``.
            fields: Names of the predictions that are read: tasks that give none are not asked. ``None`` for all.
        """
        write_fields(self, Batch(images, data_samples, _unread), fields)
        return list(data_samples)

    def parse_losses(self, losses: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Sum the losses, and average what is logged over the ranks."""
        total, log_vars = super().parse_losses(losses)
        return total, mean_logs_over_ranks(log_vars)

    def init_weights(self) -> None:
        """Initialise the backbone as its class says; load weights of model and backbone, or raise CheckpointError."""
        if hasattr(self.backbone.vit, "init_weights"):
            self.backbone.vit.init_weights()
        load_parts(self, self.pretrained, {}, words_of(self.tokenizer))

    def set_progress(self, epoch: float, iteration: int) -> None:
        """Set how far training is; keep ratios follow it.

        Raises:
            ConfigError: ``epoch`` is no number of 0 or more, or ``iteration`` no whole one.
        """
        check_progress(epoch, iteration)
        self.epoch = epoch
        self.backbone.set_progress(epoch)
        for selector in self.selectors:
            selector.set_progress(epoch)


def _learned(task: Task, sample: Any, size: tuple[int, int]) -> list[Any]:
    """Return the dialog of a sample; rows that serve patch-text supervision alone have no answer."""
    dialog = task.dialog(sample, size)
    return [dialog[0]._replace(answer=None)] if sample.get("region_only", False) else dialog


def _unread(texts: list[str]) -> TokenBatch:
    """Return no tokens: dialogs are written from the samples."""
    ids = torch.zeros(len(texts), 1, dtype=torch.int64)
    return TokenBatch(ids, ids.bool())
