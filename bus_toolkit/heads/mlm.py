"""Masked language modelling with the image in view."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bus_toolkit.heads.base import HeadOutput, VLPHead
from bus_toolkit.ops.collective import mean_over_ranks
from bus_toolkit.ops.precision import at_least_float32
from bus_toolkit.ops.token_plan import gather_tokens
from bus_toolkit.step.batch import Batch
from bus_toolkit.step.step import Step
from bus_toolkit.structures import Condition, FusedTokens, Masked, TokenBatch, Vocabulary

# Captions, each with one word hidden, that are predicted at a time.
PREDICT_CHUNK = 256


class MLMHead(VLPHead):
    """Guess hidden words of the caption from the rest of it and the image.

    Masking 15 % is BERT's and ALBEF's. Ours: always the mask token (BERT leaves one chosen word in ten visible, which
    would let the answer through in the ``masked`` and ``strict`` conditionings); at least one word a caption; and the
    vocabulary logits are computed at the hidden places only.

    Args:
        text_dim: Width of the fused tokens; filled in from the text encoder.
        vocabulary: Token ids; filled in from the tokenizer.
        mask_prob: Share of the maskable words that is hidden, in (0, 1).
        skip_words: Words that are never hidden, such as articles of a template; each one entry of the vocabulary.
        weight: Factor of the loss in the sum.
        start_epoch: The loss joins in at this epoch.

    Raises:
        ValueError: ``mask_prob`` outside (0, 1).
        DataError: One of ``skip_words`` is no entry of the vocabulary.
    """

    sees = Condition.MASKED
    provides = (Condition.MASKED,)
    needs_fusion = True
    maskable: Tensor

    def __init__(
        self,
        *,
        text_dim: int,
        vocabulary: Vocabulary,
        mask_prob: float = 0.15,
        skip_words: Sequence[str] = (),
        weight: float = 1.0,
        start_epoch: float = 0.0,
    ) -> None:
        super().__init__(weight=weight, start_epoch=start_epoch)
        if not 0.0 < mask_prob < 1.0:
            raise ValueError(f"mask_prob: must be in (0, 1), got {mask_prob}.")
        self.mask_prob = mask_prob
        self.mask_id, self.max_length = vocabulary.mask_id, vocabulary.max_length
        self.transform = nn.Sequential(nn.Linear(text_dim, text_dim), nn.GELU(), nn.LayerNorm(text_dim))
        self.vocabulary = nn.Linear(text_dim, vocabulary.size)
        maskable = torch.ones(vocabulary.size, dtype=torch.bool)
        maskable[[*vocabulary.special_ids, *vocabulary.ids_of_words(skip_words)]] = False
        self.register_buffer("maskable", maskable, persistent=False)

    def hide(self, batch: Batch) -> Masked:
        """Return the captions of a batch with words hidden."""
        # Drawn as wide as any caption can be: a word's number does not depend on the other captions of its rank.
        numbers = batch.noise("mlm", batch.num_captions, self.max_length)
        return self.mask(batch.tokens, numbers[:, : batch.tokens.input_ids.shape[1]])

    def mask(self, tokens: TokenBatch, noise_BL: Tensor) -> Masked:
        """Hide the words with the lowest noise: the given share of the maskable ones, at least one.

        Args:
            tokens: Captions (B, L).
            noise_BL: Uniform numbers, one a token.
        """
        candidates = self.maskable[tokens.input_ids] & tokens.attention_mask
        wanted = (candidates.sum(dim=1, keepdim=True) * self.mask_prob).round().clamp(min=1)
        most = max(1, math.ceil(tokens.input_ids.shape[1] * self.mask_prob))
        order = noise_BL.masked_fill(~candidates, 2.0).argsort(dim=1)[:, :most]
        ranks = torch.arange(order.shape[1], device=order.device)
        valid = (ranks < wanted) & candidates.gather(1, order)
        return self._hide(tokens, order, valid)

    def _hide(self, tokens: TokenBatch, positions: Tensor, valid: Tensor) -> Masked:
        targets = tokens.input_ids.gather(1, positions)
        hidden = torch.where(valid, self.mask_id, targets)
        ids = tokens.input_ids.scatter(1, positions, hidden)
        return Masked(TokenBatch(ids, tokens.attention_mask), positions, targets, valid)

    def logits(self, fused: FusedTokens, positions: Tensor) -> Tensor:
        """Return vocabulary logits (B, K, V) at ``positions`` (B, K)."""
        return at_least_float32(self.vocabulary(self.transform(gather_tokens(fused.text, positions))))

    def loss(self, step: Step) -> HeadOutput:
        """Return ``loss_mlm``: the mean cross-entropy over all hidden words."""
        masked = step.once(self.hide)
        fused = step.encoders.fuse(step.text_of(self.hide), step.visual())
        logits = self.logits(fused, masked.positions)  # (B, K, V)
        # (B, K, V) -> (B * K, V): one loss a hidden word; padded places are left out of the mean.
        losses = F.cross_entropy(logits.flatten(0, 1), masked.targets.flatten(), reduction="none")
        return HeadOutput({"mlm": mean_over_ranks(losses, masked.valid.flatten().to(losses.dtype))})

    def predict(self, step: Step) -> dict[str, Any]:
        """Hide each maskable word alone and guess it; the selection sees the text with the word hidden."""
        ids, mask = step.batch.tokens
        candidates = self.maskable[ids] & mask
        predictions: list[list[int]] = [[] for _ in range(candidates.shape[0])]
        targets: list[list[int]] = [[] for _ in range(candidates.shape[0])]
        for hidden in candidates.nonzero().split(PREDICT_CHUNK):
            rows, places = hidden.unbind(dim=1)
            repeated = TokenBatch(ids[rows], mask[rows])
            masked = self._hide(repeated, places.unsqueeze(1), torch.ones_like(places, dtype=torch.bool).unsqueeze(1))
            text = step.encoders.encode_text(masked.tokens)
            fused = step.encoders.fuse(text, step.images_under(rows, text))
            guesses = self.logits(fused, masked.positions).argmax(dim=-1).flatten().tolist()
            for row, target, guess in zip(rows.tolist(), masked.targets.flatten().tolist(), guesses, strict=True):
                targets[row].append(target)
                predictions[row].append(guess)
        words = [step.encoders.tokenizer.convert_ids_to_tokens(ids) for ids in targets]
        return {"mlm_targets": targets, "mlm_predictions": predictions, "mlm_words": words}
