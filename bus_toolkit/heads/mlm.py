"""Masked language modelling with the image in view."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from bus_toolkit.heads.base import Copied, HeadOutput, VLPHead
from bus_toolkit.heads.word_masks import first_places, hidden_tokens, hidden_words, replaced_as_bert
from bus_toolkit.losses.soft_targets import SoftTargets, mixed_cross_entropy
from bus_toolkit.ops.collective import mean_over_ranks
from bus_toolkit.ops.merge_tokens import gather_tokens
from bus_toolkit.ops.precision import at_least_float32
from bus_toolkit.step.batch import Batch
from bus_toolkit.step.step import Step
from bus_toolkit.structures import Condition, FusedTokens, Masked, TokenBatch, Vocabulary

# Captions, each with one word hidden, that are predicted at a time.
PREDICT_CHUNK = 256
# Tokens of a hidden word that can be guessed in captions so short that the share is less.
PIECES = 4


class MLMHead(VLPHead):
    """Guess hidden words of the caption from the rest of it and the image.

    Masking 15 % is BERT's and ALBEF's. Ours: an exact share, at least one word a caption (they draw each token alone,
    ALBEF [SEP] too); vocabulary logits at the hidden places only; and by default always the mask token. BERT leaves one
    chosen word in ten visible, and the image is selected under it too in the ``masked`` and ``strict`` conditionings.

    With ``alpha`` the momentum model's guesses from the same hidden caption are a part of the targets
    (salesforce/ALBEF:models/model_pretrain.py, models/xbert.py): its text encoder and fusion run once more for them.

    Args:
        text_dim: Width of the fused tokens; filled in from the text encoder.
        vocabulary: Token ids; filled in from the tokenizer.
        mask_prob: Share of the maskable words that is hidden, in (0, 1).
        skip_words: Words that are never hidden, such as articles of a template; each one entry of the vocabulary.
        whole_words: Hide all tokens of a word or none, as METER does (zdou0830/METER:meter/config.py), where the
            tokenizer splits words. Of a word of more tokens than there are places to guess, the first ones are guessed.
        replacement: ``mask``, always the mask token; ``bert``, for one in ten a random entry and for one in ten the
            word itself (salesforce/ALBEF:models/model_pretrain.py).
        alpha: Share of the momentum model's soft targets, which ``model.momentum.alpha_ramp_epochs`` lets grow; above 0
            it needs ``model.momentum``, where the fusion and this head are copied.
        weight: Factor of the loss in the sum.
        start_epoch: The loss joins in at this epoch.

    Raises:
        ValueError: ``mask_prob`` outside (0, 1), ``alpha`` outside [0, 1] or an unknown ``replacement``.
        DataError: One of ``skip_words`` is no entry of the vocabulary.
    """

    sees = Condition.MASKED
    provides = (Condition.MASKED,)
    needs_fusion = True
    distils = (Copied.FUSION, Copied.HEAD)
    maskable: Tensor
    special: Tensor
    continues: Tensor
    predicts = ("mlm_targets", "mlm_predictions", "mlm_words")

    def __init__(
        self,
        *,
        text_dim: int,
        vocabulary: Vocabulary,
        mask_prob: float = 0.15,
        skip_words: Sequence[str] = (),
        whole_words: bool = False,
        replacement: Literal["mask", "bert"] = "mask",
        alpha: float = 0.0,
        weight: float = 1.0,
        start_epoch: float = 0.0,
    ) -> None:
        super().__init__(weight=weight, start_epoch=start_epoch, alpha=alpha)
        if not 0.0 < mask_prob < 1.0:
            raise ValueError(f"mask_prob: must be in (0, 1), got {mask_prob}.")
        if replacement not in ("mask", "bert"):
            raise ValueError(f"replacement: must be mask or bert, got {replacement!r}.")
        self.mask_prob, self.whole_words, self.replacement = mask_prob, whole_words, replacement
        if vocabulary.mask_id == vocabulary.pad_id:
            raise ValueError("vocabulary: it has no token for a hidden word. Use a tokenizer with one, such as BERT's.")
        self.mask_id = vocabulary.mask_id
        self.transform = nn.Sequential(nn.Linear(text_dim, text_dim), nn.GELU(), nn.LayerNorm(text_dim))
        self.vocabulary = nn.Linear(text_dim, vocabulary.size)
        never_hidden = [*vocabulary.special_ids, *vocabulary.ids_of_words(skip_words)]
        self.register_buffer("maskable", ~_entries(never_hidden, vocabulary.size), persistent=False)
        self.register_buffer("special", _entries(vocabulary.special_ids, vocabulary.size), persistent=False)
        self.register_buffer("continues", _entries(vocabulary.continuation_ids, vocabulary.size), persistent=False)

    def hide(self, batch: Batch) -> Masked:
        """Return the captions of a batch with words hidden."""
        shape = batch.tokens.input_ids.shape  # a word's number does not depend on the longest caption of its rank
        masked = self.mask(batch.tokens, batch.noise("mlm", *shape))
        if self.replacement == "mask":
            return masked
        numbers = batch.noise("mlm_replacement", *shape, 2)
        ids = replaced_as_bert(batch.tokens.input_ids, masked.tokens.input_ids, numbers, self.maskable.shape[0])
        return masked._replace(tokens=TokenBatch(ids, batch.tokens.attention_mask))

    def mask(self, tokens: TokenBatch, noise_BL: Tensor) -> Masked:
        """Hide the words with the lowest noise: the given share of the maskable ones, at least one.

        Args:
            tokens: Captions (B, L).
            noise_BL: Uniform numbers, one a token.
        """
        candidates = self.maskable[tokens.input_ids] & tokens.attention_mask
        wanted = (candidates.sum(dim=1) * self.mask_prob).round().clamp(min=1)
        most = max(1, math.ceil(tokens.input_ids.shape[1] * self.mask_prob))
        if not self.whole_words:
            return self._hide(tokens, *hidden_tokens(candidates, noise_BL, wanted, most))
        hidden = hidden_words(candidates, self._continues_word(tokens), noise_BL, wanted)
        positions, valid = first_places(hidden, max(most, PIECES))
        ids = tokens.input_ids.masked_fill(hidden, self.mask_id)
        targets = tokens.input_ids.gather(1, positions)
        return Masked(TokenBatch(ids, tokens.attention_mask), positions, targets, valid)

    def _continues_word(self, tokens: TokenBatch) -> Tensor:
        """Return which tokens belong to the word of the token before, bool (B, L)."""
        continues = self.continues[tokens.input_ids] & tokens.attention_mask
        # A special token begins no word: the first piece of a text would else hide [CLS] together with itself.
        continues[:, 1:] &= ~self.special[tokens.input_ids[:, :-1]]
        return continues

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
        losses = mixed_cross_entropy(logits.flatten(0, 1), masked.targets.flatten(), self._soft_targets(step, masked))
        return HeadOutput({"mlm": mean_over_ranks(losses, masked.valid.flatten().to(losses.dtype))})

    def _soft_targets(self, step: Step, masked: Masked) -> SoftTargets | None:
        """Return what the momentum model guesses at the hidden places, logits (B * K, V)."""
        momentum = step.momentum
        if not self.alpha or momentum is None:
            return None
        copied = cast(MLMHead, step.momentum_head)
        logits = copied.logits(momentum.fuse(momentum.text_of(self.hide)), masked.positions)
        return SoftTargets(logits.flatten(0, 1), self.alpha * momentum.trust)

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


def _entries(ids: Sequence[int], size: int) -> Tensor:
    """Return which of ``size`` entries are among ``ids``, bool (V,)."""
    entries = torch.zeros(size, dtype=torch.bool)
    entries[list(ids)] = True
    return entries
