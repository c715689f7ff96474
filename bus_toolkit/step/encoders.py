"""The parts of a model under its rule for passes without text: images and texts to tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from bus_toolkit.backbones.token_reducing_backbone import Select
from bus_toolkit.errors import ComponentError, DataError
from bus_toolkit.fusion.single_stream import SingleStreamFusion
from bus_toolkit.ops.to_device import to_device
from bus_toolkit.step.parts import ForBlocks, Parts, decode_visual, encode_by, fuse_by, num_texts
from bus_toolkit.step.prepared import tokens_of
from bus_toolkit.structures import (
    FusedTokens,
    PatchScores,
    Selection,
    SharedTokens,
    TextTokens,
    TokenBatch,
    VisualTokens,
)
from bus_toolkit.text_decoders.cache import TextCache
from bus_toolkit.tokenizers import TextTokenizer

WithoutText = Literal["cls", "prompt", "none"]


@dataclass(frozen=True)
class Encoders(Parts):
    """The parts with the rule for passes that have no text; what they compute is the same for all heads.

    Attributes:
        without_text: What selects in a pass without text: ``cls`` attention, a fixed ``prompt``, or ``none`` of the
            selectors that read text.
        prompt: The fixed prompt; empty is [CLS][SEP] alone.
        on_fused: Called with what selectors inside the fusion left of the images, each time.
    """

    without_text: WithoutText = "cls"
    prompt: str = ""
    on_fused: Callable[[VisualTokens], object] | None = None

    @classmethod
    def of(cls, parts: Parts, without_text: WithoutText, prompt: str) -> Encoders:
        """Return the parts with a rule."""
        return cls(**vars(parts), without_text=without_text, prompt=prompt)

    @property
    def stream(self) -> SingleStreamFusion | None:
        """The fusion of a single-stream model, whose blocks and selectors see words and patches together."""
        return self.fusion if isinstance(self.fusion, SingleStreamFusion) else None

    @property
    def blocks_read_text(self) -> bool:
        """Whether different texts give different tokens within the backbone, or in the blocks of a single stream."""
        return self.stream is not None or self.backbone.needs_text

    @property
    def selects_by_text(self) -> bool:
        """Whether different texts leave different tokens of an image; in a single stream patches read the words."""
        return self.blocks_read_text or getattr(self.decoder, "reads_text", False)

    @property
    def reads_text(self) -> bool:
        """Whether different texts give different visual tokens; those of a single-stream model are only embedded."""
        return self.selects_by_text and self.stream is None

    @property
    def scores_by_text(self) -> bool:
        """Whether the prior scores tokens by a network of its own, which a patch-text head may train."""
        return self.prior is not None and self.prior.supervised

    def tokenize(self, texts: list[str]) -> TokenBatch:
        """Turn B texts into ids (B, L) on the model's device.

        Raises:
            DataError: A text without a single word.
        """
        tokens = self.tokenizer(texts)
        _refuse_all_padding(tokens)
        device = self.backbone.device
        return TokenBatch(to_device(tokens.input_ids, device), to_device(tokens.attention_mask, device))

    def prepared_tokens(self, samples: Sequence[Any]) -> TokenBatch | None:
        """Return ids (B, L) on the model's device that a data loader's worker has made; ``None`` if none has."""
        tokens = tokens_of(samples, self.tokenizer) if isinstance(self.tokenizer, TextTokenizer) else None
        if tokens is None:
            return None
        _refuse_all_padding(tokens)
        device = self.backbone.device
        return TokenBatch(to_device(tokens.input_ids, device), to_device(tokens.attention_mask, device))

    def encode_text(self, tokens: TokenBatch) -> TextTokens:
        """Encode ids (B, L).

        Raises:
            DataError: A text of padding alone (checked for tokens on the CPU, where it costs no device sync).
        """
        if tokens.attention_mask.device.type == "cpu":
            _refuse_all_padding(tokens)
        return self.text_encoder(tokens)

    def encode_shared(self, images: Tensor) -> SharedTokens:
        """Run all that no text can change: images (B, 3, H, W) to the tokens before the first selector."""
        return self.backbone.forward_shared(images, None if self.stream is None else 0)

    def encode_visual(self, shared: SharedTokens, text: TextTokens | None) -> VisualTokens:
        """Select, run the remaining blocks and abstract, each under its text.

        Args:
            shared: Of B images.
            text: For each image one text, or Q next to each other, (B * Q, L, D): blocks that read no text then run
                once an image. ``None`` is a text-free pass.
        """
        if self.stream is not None:
            shared = shared.repeat_each(num_texts(shared, text))
            return VisualTokens(shared.tokens, self.backbone.num_prefix, shared.grid)
        return encode_by(self.backbone, self.decoder, shared, text, self._select(text))

    def encode_pairs(self, shared: SharedTokens, image_rows: Tensor, text: TextTokens) -> VisualTokens:
        """Encode images ``image_rows`` (R,) of ``shared``, each under its row of ``text`` (R, L, D).

        Blocks and a decoder that read no text run once an image of ``shared``, however many texts it is paired with.
        """
        if self.blocks_read_text:
            return self.encode_visual(shared.index(image_rows), text)
        visual = self.backbone.forward_conditioned(shared, None, select=self._select(text))
        if getattr(self.decoder, "reads_text", False):
            return decode_visual(self.decoder, visual.index(image_rows), text)
        return decode_visual(self.decoder, visual, None).paired(image_rows)

    def for_blocks(self, shared: SharedTokens, text: TextTokens | None) -> ForBlocks:
        """Return what the rest of the backbone reads: images with a text each, or every image once and no text."""
        return ForBlocks.of(shared, text, read_text=self.blocks_read_text)

    def encode_reduced(self, shared: SharedTokens, text: TextTokens | None) -> VisualTokens:
        """Return images as all selectors leave them under a text: with those of a single-stream model, too."""
        visual = self.encode_visual(shared, text)
        return visual if self.stream is None else self._reduced_by_stream(self.stream, visual, text)

    def _reduced_by_stream(
        self, stream: SingleStreamFusion, visual: VisualTokens, text: TextTokens | None, last: int | None = None
    ) -> VisualTokens:
        if text is None:
            return stream.image_alone(visual, self.backbone, self._select(text), last)
        reduced = stream(text, visual, self.backbone, last).image
        assert reduced is not None, "selectors act inside this fusion"
        return reduced

    def text_alone(self, text: TextTokens) -> TextTokens:
        """Return encoded texts as a contrast compares them: those of a single-stream model run without any image."""
        return text if self.stream is None else self.stream.text_alone(text, self.backbone)

    def encode_scores(self, shared: SharedTokens, text: TextTokens | None) -> list[Selection]:
        """Run just far enough for every trainable selector to have scored its patches; arguments as above."""
        last = max(self.backbone.num_scored_blocks, shared.num_blocks)
        if self.stream is not None:
            return self._reduced_by_stream(self.stream, self.encode_visual(shared, text), text, last).selections
        blocks, select = self.for_blocks(shared, text), self._select(text)
        visual = self.backbone.forward_conditioned(blocks.shared, blocks.text, select=select, num_blocks=last)
        return visual.repeat_each(blocks.texts).selections

    def prior_scores(self, visual: VisualTokens, text: TextTokens) -> PatchScores | None:
        """Return the prior's scores of visual tokens under a text each, the lowest for those that must not be read.

        For a patch-text head. ``None`` without a prior that may be trained so, and for the queries of a decoder, which
        have no place.
        """
        if self.prior is None or not self.prior.supervised or visual.read_origin is None:
            return None
        scores_BS = self.prior.token_scores(text, visual)
        if visual.unread is not None:
            # No box says anything of a token that the fusion does not read: its score is sure, and has no gradient.
            is_unread_BS = visual.unread[:, visual.num_prefix :]
            scores_BS = scores_BS.masked_fill(is_unread_BS, torch.finfo(scores_BS.dtype).min)
        return PatchScores(scores_BS, visual.read_origin)

    def free_text(self, batch: int) -> TextTokens | None:
        """Return what replaces the text in a text-free pass: the prompt for ``batch`` rows, or ``None``."""
        if self.without_text != "prompt" or not (self.selects_by_text or self.scores_by_text):
            return None
        if self.prompt:
            tokens = self.tokenize([self.prompt])
        else:
            ids = torch.tensor([[self.tokenizer.cls_token_id, self.tokenizer.sep_token_id]])
            ids = to_device(ids, self.backbone.device)
            tokens = TokenBatch(ids, torch.ones_like(ids, dtype=torch.bool))
        text = self.text_encoder(tokens)
        return TextTokens(*(t.expand(batch, *t.shape[1:]) for t in (text.embeds, text.pooled, text.attention_mask)))

    def fuse(self, text: TextTokens, visual: VisualTokens, *, first_only: bool = False) -> FusedTokens:
        """Let text (B, L, D) and visual tokens (B, P + S, D_v) meet.

        Args:
            text: Words.
            visual: Images.
            first_only: Whether ``FusedTokens.cls`` is all that is wanted, as for matching; there need be no other token
                then.

        Raises:
            ComponentError: The model has no fusion, and the head that asks did not say that it needs one.
        """
        if self.fusion is None:
            raise ComponentError(_missing("fusion"))
        if self.stream is None:
            return fuse_by(self.fusion, self.prior, text, visual, first_only=first_only)
        fused = self.stream(text, visual, self.backbone)
        if self.on_fused is not None and fused.image is not None:
            self.on_fused(fused.image)
        return fused

    def decode(self, tokens: TokenBatch, memory: Tensor, memory_mask: Tensor, cache: TextCache | None = None) -> Tensor:
        """Return next-token logits (B, L, V) from ids (B, L) and states (B, M, D) with their mask (B, M).

        Args:
            tokens: The texts.
            memory: What they read.
            memory_mask: True = may be read.
            cache: Of ``new_text_cache``; the logits are those of the tokens that it does not hold.

        Raises:
            ComponentError: As ``fuse``, for a text decoder.
        """
        if self.text_decoder is None:
            raise ComponentError(_missing("text_decoder"))
        if cache is None:
            return self.text_decoder(tokens, memory, memory_mask)
        return self.text_decoder(tokens, memory, memory_mask, cache=cache)

    def new_text_cache(self) -> TextCache | None:
        """Return an empty cache of the text decoder, for texts under way; ``None`` where it has none."""
        new_cache = getattr(self.text_decoder, "new_cache", None)
        return None if new_cache is None else new_cache()

    def _select(self, text: TextTokens | None) -> Select:
        return "text_free" if text is None and self.without_text == "none" else "all"


def _missing(part: str) -> str:
    return (
        f"model.{part}: a head asks for it, and the config has none. Add model.{part}, and set needs_{part} = True in "
        "the head's class: then such a config is refused when it is built."
    )


def _refuse_all_padding(tokens: TokenBatch) -> None:
    empty = (~tokens.attention_mask.any(dim=1)).nonzero().flatten().tolist()
    if empty:
        raise DataError(
            f"text: row {empty[0]} of the batch is padding only ({len(empty)} such rows). A text needs at least one "
            "token that may be attended. Drop such samples or give them a caption."
        )
