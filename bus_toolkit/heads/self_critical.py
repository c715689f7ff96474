"""Captioning trained by the score of what is written, in place of the next word: self-critical sequence training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from bus_toolkit.errors import DataError
from bus_toolkit.heads.base import HeadOutput
from bus_toolkit.heads.caption import CaptionHead
from bus_toolkit.heads.caption_rewards import caption_rewards
from bus_toolkit.heads.writing import written_texts
from bus_toolkit.losses.policy_gradient import policy_gradient_loss, text_log_probs
from bus_toolkit.ops.precision import at_least_float32_dtype
from bus_toolkit.ops.to_device import to_device
from bus_toolkit.step.step import Step
from bus_toolkit.structures import Condition, TokenBatch, Vocabulary
from bus_toolkit.text_decoders.generate import SearchRules
from bus_toolkit.text_decoders.sample import sample


class SelfCriticalCaptionHead(CaptionHead):
    """Raise the CIDEr-D of written captions by its policy gradient; evaluates, and is loaded, as a ``CaptionHead``.

    K candidates an image are written without gradient, as many as ``search`` has beams, and scored against all captions
    of the image (field ``references``: a training set of ``CaptionedImages``, whose pipeline must not flip, since
    references keep their words). One pass of the text decoder over the candidates gives their log-probabilities; those
    above the baseline become more probable. Start from a ``CaptionHead``'s checkpoint (``load_from``).

    - ``candidates: beam`` with ``baseline: mean``, as mPLUG trains (X-PLUG/mPLUG:caption_mplug_scst.py,
      models/model_caption_mplug.py): the beams, and the mean of their scores. As there, a log-probability counts
      divided by ``search``'s power of the length and by the number of tokens, [CLS] included. mPLUG passes the gradient
      through the search itself; without dropout it is the same.
    - ``candidates: sample`` with ``baseline: greedy`` and ``reward: {count_end: true}``, as Rennie et al. (arXiv
      1612.00563): texts drawn from the model and its own most probable text. The gradient is that of the expected
      score, unbiased.

    The parts stay in training mode while candidates are written, as in mPLUG's code: dropout acts. A step costs the
    writing (about L / 2 whole passes of the text decoder for L tokens, times K), one pass with gradient, and the
    scores, for which the ids leave the device once a step.

    Args:
        embed_dim: As in ``CaptionHead``.
        text_dim: As in ``CaptionHead``.
        vocabulary: As in ``CaptionHead``.
        search: As in ``CaptionHead``; ``beam_size`` is also K, and sampled texts end after ``max_length`` tokens.
        candidates: Where the scored texts come from.
        baseline: What their scores are compared with.
        reward: Arguments of ``bus_toolkit.heads.caption_rewards.CaptionRewards``: ``captions_file``, COCO captions JSON
            of the training for CIDEr-D's document frequencies, without which they are those of each batch on each rank
            (mPLUG's are too, with the captions of an image counted once a beam); and ``count_end``, whether the end of
            a text counts as a word.
        weight: Factor of the loss in the sum.

    Raises:
        ValueError: As ``CaptionHead``; or a single candidate that would be its own baseline.
    """

    waits_for_device = True

    def __init__(
        self,
        *,
        embed_dim: int,
        text_dim: int,
        vocabulary: Vocabulary,
        search: Mapping[str, Any] | None = None,
        candidates: Literal["beam", "sample"] = "beam",
        baseline: Literal["mean", "greedy"] = "mean",
        reward: Mapping[str, Any] | None = None,
        weight: float = 1.0,
    ) -> None:
        super().__init__(embed_dim=embed_dim, text_dim=text_dim, vocabulary=vocabulary, search=search, weight=weight)
        for name, value, allowed in (
            ("candidates", candidates, ("beam", "sample")),
            ("baseline", baseline, ("mean", "greedy")),
        ):
            if value not in allowed:
                raise ValueError(f"{name}: must be {allowed[0]} or {allowed[1]}, got {value!r}.")
        if baseline == "mean" and self.rules.beam_size < 2:
            raise ValueError(
                f"search.beam_size: must be 2 or more with baseline 'mean', got {self.rules.beam_size}: a single "
                "candidate is its own mean. Raise it, or choose the baseline 'greedy'."
            )
        self.candidates, self.baseline = candidates, baseline
        self.rewards = caption_rewards(reward)

    def load_weights(self, read: Any, path: str) -> None:
        """Read the document frequencies before the first step, so that a missing file is reported then."""
        _ = self.rewards.frequencies

    def loss(self, step: Step) -> HeadOutput:
        """Return ``loss_caption``, whose gradient raises the reward, and the mean ``reward`` of the candidates.

        Raises:
            DataError: A sample has no ``references``, or the file of captions cannot be read.
        """
        states = self.states(step.visual(Condition.FREE))
        written = self._candidates(step, states)
        rewards_BK = self._scores(step, written, states[0])
        advantages_BK = rewards_BK - self._baseline(step, states, rewards_BK)
        count = written.input_ids.shape[1]
        flat = TokenBatch(written.input_ids.flatten(0, 1), written.attention_mask.flatten(0, 1))  # (B * K, L)
        memory, mask = (part.repeat_interleave(count, dim=0) for part in states)
        logits = step.encoders.decode(flat.before_last(), memory, mask)
        log_probs_BK = text_log_probs(logits, *flat).unflatten(0, (-1, count)) / self._length(written)
        loss = policy_gradient_loss(log_probs_BK, advantages_BK.to(log_probs_BK))
        return HeadOutput({"caption": loss}, logs={"reward": rewards_BK.mean()})

    def _candidates(self, step: Step, states: tuple[Tensor, Tensor]) -> TokenBatch:
        """Return K texts for each image, (B, K, L), without gradient."""
        if self.candidates == "beam":
            found = written_texts(step.encoders, *states, self.vocabulary, self.rules)
            return TokenBatch(found.ids, found.attention_mask)
        count, longest = self.rules.beam_size, self.rules.max_length - 1
        noise_BKT = step.batch.noise("self_critical", step.batch.num_captions, count, longest)
        start = torch.full((noise_BKT.shape[0], 1), self.vocabulary.cls_id, device=noise_BKT.device)
        memory, mask = states
        end, pad = self.vocabulary.sep_id, self.vocabulary.pad_id
        cache = step.encoders.new_text_cache
        return sample(step.encoders.decode, memory, mask, start, noise_BKT, end_id=end, pad_id=pad, new_cache=cache)

    def _baseline(self, step: Step, states: tuple[Tensor, Tensor], rewards_BK: Tensor) -> Tensor:
        """Return what the rewards of each image are compared with, (B, 1)."""
        if self.baseline == "mean":
            return rewards_BK.mean(dim=1, keepdim=True)
        greedy = SearchRules(**{**vars(self.rules), "beam_size": 1})
        best = written_texts(step.encoders, *states, self.vocabulary, greedy)
        return self._scores(step, TokenBatch(best.ids, best.attention_mask), states[0])

    def _scores(self, step: Step, texts: TokenBatch, like: Tensor) -> Tensor:
        """Return the rewards (B, K) of texts (B, K, L), in the precision of ``like`` or a higher one."""
        references = step.batch.field("references")
        if any(not of_image for of_image in references):
            raise DataError(
                "references: SelfCriticalCaptionHead compares what is written with all captions of an image, got a "
                "sample without them. Train on CaptionedImages."
            )
        decode = step.encoders.tokenizer.decode
        captions = [[decode(ids) for ids in of_image] for of_image in texts.input_ids.tolist()]
        ended_BK = (texts.input_ids == self.vocabulary.sep_id).any(dim=-1).tolist()
        scores = self.rewards(captions, references, ended_BK)
        return to_device(torch.tensor(scores, dtype=at_least_float32_dtype(like)), like.device)

    def _length(self, texts: TokenBatch) -> Tensor | float:
        """Return what log-probabilities are divided by, (B, K); nothing where the texts were drawn."""
        if self.candidates == "sample":
            return 1.0
        written = texts.attention_mask.sum(dim=-1) - 1  # (B, K), without [CLS]
        return self.rules.divisor(written) * (written + 1)
