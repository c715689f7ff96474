"""One batch on its way through the model: every pass is run when a head first asks for it, and once."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from bus_toolkit.errors import DataError
from bus_toolkit.heads.base import Boxes, Masked, MomentumTokens, noise, other_rows
from bus_toolkit.ops.collective import gather_padded_rows, gather_rows, rank, world_size
from bus_toolkit.structures import FusedTokens, Selection, SharedTokens, TextTokens, TokenBatch, VisualTokens

if TYPE_CHECKING:
    from bus_toolkit.models.vlp import VLPModel


class BatchStep:
    """Encodings of one batch, shared by all heads (see ``heads.base.Step`` for the contract).

    Rows that only serve patch-text supervision (``region_only``) stand behind the caption rows. They share the text
    pass and the blocks in front of the first selector, and go no further than the last selector.

    Args:
        model: The model.
        images: (B + R, 3, H, W), normalised; R region rows last. Or (B, I, 3, H, W): I images a text.
        samples: Their data samples.

    Raises:
        DataError: Region rows of several images.
    """

    def __init__(self, model: VLPModel, images: Tensor, samples: Sequence[Any]) -> None:
        self.model = model
        self.num_images = images.shape[1] if images.dim() == 5 else 1
        self.images = images.flatten(0, 1) if images.dim() == 5 else images
        self.samples = samples
        self.num_captions = sum(not sample.get("region_only", False) for sample in samples)
        if self.num_images > 1 and self.num_captions < len(samples):
            raise DataError(
                f"region_only: rows for patch-text supervision have one image, got {self.num_images}. Set "
                "region_batch_size to 0 for a data set of several images a text."
            )
        self.all_tokens = model.tokenize([sample.text for sample in samples])
        self.tokens = TokenBatch(*(t[: self.num_captions] for t in self.all_tokens))
        self.similarity: tuple[Tensor, Tensor] | None = None
        self.iteration = model.iteration
        self._visual: dict[str, VisualTokens] = {}

    @property
    def captioned(self) -> Sequence[Any]:
        """The data samples of the caption rows."""
        return self.samples[: self.num_captions]

    def field(self, name: str) -> list[Any]:
        """Return a field of each caption row's data sample; ``None`` where a sample has none."""
        return [sample.get(name) for sample in self.captioned]

    @cached_property
    def image_ids(self) -> Tensor:
        """Image ids (B,); rows without one count as images of their own."""
        ids = [
            _number(sample.get("image_id", -2 - (row * world_size() + rank())))
            for row, sample in enumerate(self.captioned)
        ]
        return torch.tensor(ids).to(self.images.device, non_blocking=True)

    @cached_property
    def labels(self) -> Tensor | None:
        """Class labels (B,), or ``None``."""
        labels = self.field("gt_label")
        if any(label is None for label in labels):
            return None
        # The data preprocessor may have moved them to the device: reading them one by one would stop it each time.
        return torch.stack([torch.as_tensor(label).reshape(()) for label in labels]).to(self.images.device).long()

    @cached_property
    def all_text(self) -> TextTokens:
        """All texts, region rows included."""
        return self.model.encode_text(self.all_tokens)

    @cached_property
    def text(self) -> TextTokens:
        """The encoded captions."""
        if self.num_captions == len(self.samples):
            return self.all_text
        return self.all_text.index(slice(0, self.num_captions))

    @cached_property
    def all_prefix(self) -> SharedTokens:
        """Everything in front of the first selector, region rows included."""
        return self.model.encode_shared(self.images)

    @cached_property
    def prefix(self) -> SharedTokens:
        """The caption rows in front of the first selector."""
        return self.all_prefix.index(slice(0, self.num_captions * self.num_images))

    @cached_property
    def masked(self) -> Masked:
        """The captions with words hidden."""
        # Drawn as wide as any caption can be: a word's number does not depend on the other captions of its rank.
        numbers = noise(self, "mlm", self.num_captions, self.model.tokenizer.max_length)
        return self.model.heads["mlm"].mask(self.tokens, numbers[:, : self.tokens.input_ids.shape[1]])

    @cached_property
    def masked_text(self) -> TextTokens:
        """The encoded captions with words hidden."""
        return self.model.encode_text(self.masked.tokens)

    @cached_property
    def prefix_lengths(self) -> Tensor:
        """Tokens of each caption that the prefix language model is given."""
        return self.model.heads["prefix_lm"].prefix_lengths(self.tokens, noise(self, "prefix_lm", self.num_captions))

    @cached_property
    def prefix_text(self) -> TextTokens:
        """The encoded beginnings of the captions that the prefix language model is given."""
        places = torch.arange(self.tokens.input_ids.shape[1], device=self.images.device)
        given = (places < self.prefix_lengths.unsqueeze(1)) & self.tokens.attention_mask
        return self.model.encode_text(TokenBatch(self.tokens.input_ids, given))

    def encode_text(self, tokens: TokenBatch) -> TextTokens:
        """Encode other texts; the masked captions are encoded once."""
        if "masked" in self.__dict__ and tokens is self.masked.tokens:
            return self.masked_text
        return self.model.encode_text(tokens)

    def conditioning_text(self, condition: str) -> TextTokens | None:
        """Return the text that conditions the images of the caption rows."""
        if condition == "free":
            return self.model.free_text(self.num_captions * self.num_images)
        return self._text_under(condition).repeat_each(self.num_images)

    def _text_under(self, condition: str) -> TextTokens:
        if condition == "masked":
            return self.masked_text
        if condition == "prefix":
            return self.prefix_text
        if condition == "other_caption":
            return self.text.index(other_rows(self.image_ids).clamp(min=0))
        return self.text

    def visual(self, objective: str) -> VisualTokens:
        """Return the images under the condition of ``objective``, those of a text in a row."""
        condition = self.model.condition(objective)
        if condition not in self._visual:
            self._visual[condition] = self.model.encode_visual(self.prefix, self.conditioning_text(condition))
        return self._visual[condition]

    def visual_for(self, image_rows: Tensor, text: TextTokens) -> VisualTokens:
        """Return this rank's images at ``image_rows``, conditioned on ``text``."""
        return self.model.encode_visual(self.prefix.index(image_rows), text)

    def visual_pairs(self, objective: str, image_rows: Tensor, text_rows: Tensor) -> tuple[VisualTokens, TextTokens]:
        """Return images and texts paired by row numbers: of all ranks, or of this rank for ``pair`` (evaluation)."""
        if objective == "pair":
            text = self.text.index(text_rows)
            return self.visual_for(image_rows, text), text
        text = self._all_ranks_text().index(text_rows)
        if self.model.conditioning.pairs_are_reencoded and self.model.reads_text:
            return self.model.encode_visual(_gather_prefix(self.prefix).index(image_rows), text), text
        visual = self.visual(objective)
        return VisualTokens(gather_rows(visual.embeds)[image_rows], visual.num_prefix, visual.grid), text

    def patch_scores(self, objective: str) -> tuple[list[Selection], Boxes]:
        """Return what the selectors decided on all rows, region rows last, and their boxes."""
        condition = objective if objective == "other_caption" else self.model.condition(objective)
        if self.num_captions < len(self.samples):
            return self.model.encode_scores(self.all_prefix, self._text_of_all_rows(condition)), self._boxes
        if condition in self._visual:
            return self._visual[condition].selections, self._boxes
        return self.model.encode_scores(self.prefix, self.conditioning_text(condition)), self._boxes

    def _text_of_all_rows(self, condition: str) -> TextTokens | None:
        """Return the text that conditions the caption rows, and behind it that of the region rows: always their own."""
        if condition == "free":
            return self.model.free_text(len(self.samples))
        if condition == "caption":
            return self.all_text
        captions = self.conditioning_text(condition)
        assert captions is not None, "only a free pass has no text"
        return captions.followed_by(self.all_text.index(slice(self.num_captions, None)))

    def boxes(self) -> Boxes:
        """Return the boxes of the caption rows."""
        rows = slice(0, self.num_captions)
        return Boxes(self._boxes.xyxy[rows], self._boxes.valid[rows], self._boxes.named[rows], self._boxes.size)

    @cached_property
    def _boxes(self) -> Boxes:
        """Pad the boxes of all rows; an image without boxes has none that are valid."""
        device, size = self.images.device, (self.images.shape[2], self.images.shape[3])
        none = torch.zeros(0, 4, device=device)
        boxes = [torch.as_tensor(s.get("gt_boxes", none), device=device) for s in self.samples]
        named = [torch.as_tensor(s.get("named", none[:, 0]), device=device).bool() for s in self.samples]
        lengths = [len(b) for b in boxes]
        count = max(1, *lengths)
        # One more row sets the length: at least one box place, also where no image has any.
        padded = pad_sequence([*boxes, none.new_zeros(count, 4)], batch_first=True)[:-1]
        padded_named = pad_sequence([*named, none.new_zeros(count, dtype=torch.bool)], batch_first=True)[:-1]
        valid = torch.arange(count) < torch.tensor(lengths).unsqueeze(1)
        return Boxes(padded, valid.to(device, non_blocking=True), padded_named, size)

    def tokenize(self, texts: list[str]) -> TokenBatch:
        """Return the token ids of other texts."""
        return self.model.tokenize(texts)

    def fuse(self, text: TextTokens, visual: VisualTokens) -> FusedTokens:
        """Let text and image meet."""
        return self.model.fuse(text, visual)

    def decode(self, tokens: TokenBatch, memory: Tensor, memory_mask: Tensor) -> Tensor:
        """Return next-token logits (B, L, V) of the text decoder."""
        assert self.model.text_decoder is not None, "build_model refuses heads that write without a text decoder"
        return self.model.text_decoder(tokens, memory, memory_mask)

    def _all_ranks_text(self) -> TextTokens:
        longest = self.model.tokenizer.max_length
        embeds = gather_padded_rows(self.text.embeds, longest)
        mask = gather_padded_rows(self.text.attention_mask.to(torch.uint8), longest).bool()
        return TextTokens(embeds, embeds[:, 0], mask)

    def momentum_tokens(self) -> MomentumTokens | None:
        """Return images, texts and projections of the momentum model; ``None`` without one."""
        return self._momentum_tokens

    @cached_property
    def _momentum_tokens(self) -> MomentumTokens | None:
        if self.model.momentum is None:
            return None
        return self.model.momentum(self.images[: self.num_captions], self.tokens)

    def words(self, ids: list[int]) -> list[str]:
        """Return the vocabulary entries of token ids."""
        return self.model.tokenizer.convert_ids_to_tokens(ids)

    def sentence(self, ids: list[int]) -> str:
        """Return the text of token ids, without special tokens."""
        return self.model.tokenizer.decode(ids)


def _number(image_id: object) -> int:
    """Return an id as a number; ids that are words keep apart as well."""
    return image_id if isinstance(image_id, int) else zlib.crc32(str(image_id).encode())


def _gather_prefix(prefix: SharedTokens) -> SharedTokens:
    block_input = None if prefix.block_input is None else gather_rows(prefix.block_input)
    return SharedTokens(gather_rows(prefix.tokens), prefix.grid, prefix.num_blocks, block_input)
