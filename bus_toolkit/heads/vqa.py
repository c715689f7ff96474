"""Visual question answering: write or choose the answer to a question about an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from bus_toolkit.heads.answers import flatten_answers, read_answers
from bus_toolkit.heads.base import Copied, HeadOutput, VLPHead
from bus_toolkit.heads.writing import write_texts
from bus_toolkit.losses.next_token import checked_smoothing, next_token_loss
from bus_toolkit.losses.soft_targets import SoftTargets
from bus_toolkit.ops.precision import at_least_float32_dtype
from bus_toolkit.ops.to_device import to_device
from bus_toolkit.step.step import Step
from bus_toolkit.structures import Condition, TokenBatch, Vocabulary
from bus_toolkit.text_decoders.generate import SearchRules, search_rules
from bus_toolkit.text_decoders.rank import rank


class VQAHead(VLPHead):
    """Answer the question that is a sample's text, word by word from [CLS].

    The question conditions the image and is fused with it; the text decoder reads both and writes the answer (arXiv
    2107.07651, section 3.4; with the visual states as in mPLUG, alibaba/AliceMind:mPLUG/models/model_vqa_mplug.py).
    ``gt_answer`` of a sample are its different answers and ``gt_answer_weight`` their shares, as ``QuestionAnswers``
    gives them; a sample without answers gives no term. The prediction is ``pred_answer``, a string a sample.

    With ``alpha`` the momentum model's next-token probabilities are a part of the targets, as in ALBEF (0.4,
    salesforce/ALBEF:models/model_vqa.py). mPLUG's model computes them and trains without: no alpha reaches its decoder.

    Args:
        vocabulary: Token ids; filled in from the tokenizer.
        inference: ``generate`` writes any answer, ``rank`` chooses the most probable one of ``answer_list``.
        search: How ``generate`` searches: arguments of ``bus_toolkit.text_decoders.generate.SearchRules``;
            ``max_length`` is at most, and if not given, the tokenizer's.
        answer_list: What ``rank`` chooses from: a list, a text file with one answer a line, or a JSON list.
        rank_topk: So many answers, those with the most probable first token, are compared in full; ``None`` for all.
        label_smoothing: Share of the target spread over the vocabulary.
        alpha: Share of the momentum model's soft targets, which ``model.momentum.alpha_ramp_epochs`` lets grow; above 0
            it needs ``model.momentum``, where fusion and text decoder are copied.
        weight: Factor of the loss in the sum.
        start_epoch: The loss joins in at this epoch.

    Raises:
        ValueError: A search setting that does not exist or is out of range, a setting of the other kind of inference, a
            list of answers that cannot be used, ``rank_topk`` above its length, or ``label_smoothing`` or ``alpha`` out
            of range.
    """

    sees = Condition.CAPTION  # the question; the answer is no part of it
    gives_answers = True
    needs_fusion = True
    needs_text_decoder = True
    distils = (Copied.FUSION, Copied.TEXT_DECODER)
    predicts = ("pred_answer",)

    def __init__(
        self,
        *,
        vocabulary: Vocabulary,
        inference: Literal["generate", "rank"] = "generate",
        search: Mapping[str, Any] | None = None,
        answer_list: str | Sequence[str] | None = None,
        rank_topk: int | None = None,
        label_smoothing: float = 0.0,
        alpha: float = 0.0,
        weight: float = 1.0,
        start_epoch: float = 0.0,
    ) -> None:
        super().__init__(weight=weight, start_epoch=start_epoch, alpha=alpha)
        self.rules: SearchRules | None = None
        self.answers: list[str] = []
        if inference == "generate":
            _refuse("generate", answer_list=answer_list, rank_topk=rank_topk)
            self.rules = search_rules(search, vocabulary.max_length)
        elif inference == "rank":
            _refuse("rank", search=search)
            self.answers = _candidates(answer_list, rank_topk)
        else:
            raise ValueError(f"inference: must be generate or rank, got {inference!r}.")
        self.rank_topk = rank_topk
        self.vocabulary = vocabulary
        self.label_smoothing = checked_smoothing(label_smoothing)

    def loss(self, step: Step) -> HeadOutput:
        """Return ``loss_vqa``: the mean cross-entropy over the tokens of all answers after [CLS], weighted by share.

        ALBEF sums over the tokens of an answer and divides by the number of images; the mean over tokens differs by a
        factor and is that of the other language models here.

        Raises:
            DataError: A question has another number of shares than answers.
        """
        memory, memory_mask = self._memory(step)
        rows, texts, shares = flatten_answers(step.batch.field("gt_answer"), step.batch.field("gt_answer_weight"))
        if not texts:
            # All ranks take part in the sums over ranks: a rank without answers decodes something, with no weight.
            rows, texts, shares = [0], [step.batch.field("text")[0]], [0.0]
        answers = step.encoders.tokenize(texts)  # (A, L)
        owners = to_device(torch.tensor(rows), memory.device)
        weights = to_device(torch.tensor(shares, dtype=at_least_float32_dtype(memory)), memory.device)
        logits = step.encoders.decode(answers.before_last(), memory[owners], memory_mask[owners])  # (A, L - 1, V)
        # (A, L - 1): each token's loss counts by its answer's share; the first token is given, never predicted.
        wanted = answers.attention_mask[:, 1:] * weights.unsqueeze(1)
        soft = self._soft_targets(step, answers, owners)
        return HeadOutput({"vqa": next_token_loss(logits, answers.input_ids, wanted, self.label_smoothing, soft)})

    def predict(self, step: Step) -> dict[str, Any]:
        """Return the answer to each question."""
        memory, memory_mask = self._memory(step)
        if self.answers:
            return {"pred_answer": self._chosen(step, memory, memory_mask)}
        return {"pred_answer": write_texts(step.encoders, memory, memory_mask, self.vocabulary, self.rules)}

    def _soft_targets(self, step: Step, answers: TokenBatch, owners: Tensor) -> SoftTargets | None:
        """Return what the momentum model makes of the answers (A, L) to the questions at rows ``owners`` (A,)."""
        momentum = step.momentum
        if not self.alpha or momentum is None:
            return None
        memory, memory_mask = momentum.fuse(momentum.text).memory()
        logits = momentum.decode(answers.before_last(), memory[owners], memory_mask[owners])
        return SoftTargets(logits, self.alpha * momentum.trust)

    def _chosen(self, step: Step, memory: Tensor, memory_mask: Tensor) -> list[str]:
        candidates = step.encoders.tokenize(self.answers)
        ranked = rank(step.encoders.decode, memory, memory_mask, candidates, topk=self.rank_topk)
        return [self.answers[index] for index in ranked.best.tolist()]

    def _memory(self, step: Step) -> tuple[Tensor, Tensor]:
        """Return what the fusion gives of image and question, (B, M, D), and which may be read, bool (B, M)."""
        return step.encoders.fuse(step.text, step.visual()).memory()


def _candidates(answers: str | Sequence[str] | None, topk: int | None) -> list[str]:
    if answers is None:
        raise ValueError("answer_list: inference 'rank' chooses from a list of answers, got none. Give it, or a file.")
    try:
        texts = read_answers(answers)
    except ValueError as error:
        raise ValueError(f"answer_list: {error}") from error
    if topk is not None and not 1 <= topk <= len(texts):
        raise ValueError(f"rank_topk: must be between 1 and {len(texts)} (answers of answer_list), got {topk}.")
    return texts


def _refuse(inference: str, **settings: object) -> None:
    for name, value in settings.items():
        if value is not None:
            raise ValueError(f"{name}: has no effect with inference '{inference}', got {value!r}. Leave it out.")
