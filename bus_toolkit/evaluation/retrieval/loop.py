"""The evaluation loop: predictions through the metrics, then re-ranking of the best pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

from mmengine.runner import Runner
from typing_extensions import override

from bus_toolkit.errors import ConfigError
from bus_toolkit.evaluation.eval_loop import EvalLoop
from bus_toolkit.evaluation.other_texts import OtherTexts, check_other_texts
from bus_toolkit.evaluation.retrieval.device_memory import DEFAULT_GIB, DeviceMemory
from bus_toolkit.evaluation.retrieval.ranking import checked_ks
from bus_toolkit.evaluation.retrieval.reranking import Reranking, RerankSettings
from bus_toolkit.heads.base import find_head
from bus_toolkit.heads.itc import ITCHead
from bus_toolkit.heads.itm import ITMHead, MatchScore, checked_match_score
from bus_toolkit.registry import LOOPS

SelectingText = Literal["own", "other"]


@LOOPS.register_module()
class VLPEvalLoop(EvalLoop):
    """Evaluate in two stages; goes into ``val_cfg`` and ``test_cfg``.

    First every metric of the evaluator, on what the model predicts. Then, if asked, the best ``rerank_topk`` partners
    of each image and each text are scored by image-text matching, the patches selected under the caption of the pair
    (the second stage of salesforce/ALBEF:Retrieval.py). ``match_score: logit`` orders the pairs as ALBEF, BLIP and
    mPLUG do; ``itc_weight: 1`` adds the similarity as salesforce/BLIP:train_retrieval.py does. The blocks before the
    first selector run once an image, for both stages; their tokens stay on the device up to ``rerank_device_memory``,
    then on the CPU, as all features do. Ranks share the work by image.

    Args:
        runner: Given by MMEngine.
        dataloader: Given by MMEngine.
        evaluator: Given by MMEngine.
        rerank_topk: Candidates of each query that are re-ranked; 0 leaves the second stage out.
        rerank_shortlist: So many candidates of each query are scored with the patches that their text selects: the best
            ones on patches selected without text, on which all others are ordered, after them. That costs the blocks
            after the selector once an image and once for each pair on the list, not for each candidate. 0 scores all
            under their text.
        rerank_batch_size: Pairs scored at a time.
        rerank_device_memory: GiB of image and text tokens that stay on the device between the stages; those beyond wait
            on the CPU. 0 leaves the device to the model.
        recall_k: The k of R@k.
        itc_weight: Factor of the first-stage similarity that is added to the match score.
        match_score: By what pairs are ordered: ``margin``, the logit of "match" minus that of "no match", which orders
            them as the probability of a match does (our choice), or ``logit``, that of "match" alone.
        selecting_text: What selectors and the model's prior read of a row: its ``own`` text, or that of an ``other``
            image (``OtherTexts`` says which), while question and fusion stay. What falls between the two is what
            selecting by the text brings. For predictions under the own text: classes, answers, boxes, patch scores.
        fp16: Evaluate under automatic mixed precision.

    Raises:
        ConfigError: A negative ``rerank_topk`` or memory, a batch size or a k below one, an unknown ``match_score`` or
            ``selecting_text``, re-ranking with a model that cannot, a shortlist or a text of others without effect.
        DataError: A data set without texts of other images.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: Any,
        evaluator: Any,
        *,
        rerank_topk: int = 0,
        rerank_shortlist: int = 0,
        rerank_batch_size: int = 64,
        rerank_device_memory: float = DEFAULT_GIB,
        recall_k: Sequence[int] = (1, 5, 10),
        itc_weight: float = 0.0,
        match_score: MatchScore = "margin",
        selecting_text: SelectingText = "own",
        fp16: bool = False,
    ) -> None:
        super().__init__(runner, dataloader, evaluator, fp16)
        if rerank_topk < 0:
            raise ConfigError(
                f"VLPEvalLoop.rerank_topk: must not be negative, got {rerank_topk}. 0 leaves re-ranking out."
            )
        if rerank_batch_size < 1:
            raise ConfigError(f"VLPEvalLoop.rerank_batch_size: must be at least 1, got {rerank_batch_size}.")
        heads = getattr(self.bare_model, "heads", {})
        if rerank_topk and not all(find_head(heads.values(), kind) for kind in (ITCHead, ITMHead)):
            raise ConfigError(
                f"VLPEvalLoop.rerank_topk: re-ranking needs an ITCHead and an ITMHead, got {sorted(heads)}. "
                "Add them under model.heads, or set val_cfg.rerank_topk and test_cfg.rerank_topk to 0."
            )
        _check_shortlist(rerank_shortlist, rerank_topk, self.bare_model)
        DeviceMemory(rerank_device_memory, owner="VLPEvalLoop.rerank_device_memory")  # says now what it cannot be
        ks = checked_ks(recall_k, "VLPEvalLoop.recall_k")
        score = checked_match_score(match_score, "VLPEvalLoop.match_score")
        self.rerank = RerankSettings(
            rerank_topk, rerank_batch_size, ks, itc_weight, rerank_device_memory, fp16, score, rerank_shortlist
        )
        self._reranking: Reranking | None = None
        if selecting_text not in get_args(SelectingText):
            allowed = " or ".join(get_args(SelectingText))
            raise ConfigError(f"VLPEvalLoop.selecting_text: must be {allowed}, got {selecting_text!r}.")
        self.selecting_text = selecting_text
        self._others: OtherTexts | None = None
        if selecting_text == "other":
            check_other_texts(self.bare_model, self.evaluator.metrics, rerank_topk)
            self._others = OtherTexts(self.dataloader.dataset)

    @property
    @override
    def reads(self) -> tuple[str, ...]:
        return ("image_feats", "text_feats") if self.rerank.topk else ()

    @override
    def prepare(self) -> None:
        self._reranking = Reranking(self.bare_model, self.rerank) if self.rerank.topk else None

    @override
    def predict(self, data_batch: Any) -> Sequence[Any]:
        if self._others is not None:
            self._others.write(data_batch["data_samples"])
        return super().predict(data_batch) if self._reranking is None else self._reranking.predict(data_batch)

    @override
    def more_metrics(self) -> dict[str, float]:
        # What it keeps of the images is freed with it.
        reranking, self._reranking = self._reranking, None
        return {} if reranking is None else reranking.metrics(self.write_lines)


def _check_shortlist(count: int, topk: int, model: Any) -> None:
    """Refuse a shortlist that is none.

    Raises:
        ConfigError: It is negative or not shorter than the candidates, or no text selects.
    """
    if not count:
        return
    where = "VLPEvalLoop.rerank_shortlist"
    if not 0 < count < topk:
        raise ConfigError(
            f"{where}: must be below rerank_topk ({topk}), and 0 or more, got {count}. 0 scores all candidates under "
            "their text."
        )
    if not model.encoders.reads_text:
        raise ConfigError(
            f"{where}: has no effect, got {count}: no selector and no decoder of the model reads a text, so that an "
            "image is encoded once anyway. Set it to 0."
        )
