"""Measure a trained model: metrics, the two-stage retrieval loop, and the report at the end of a run.

Every value is a fraction in [0, 1] (0.34 means 34 %), apart from the counts ``num_*`` and the values under
``caption/``. Importing this package registers its members with MMEngine.
"""

from bus_toolkit.evaluation.metrics.accuracy import ClassificationAccuracy, ITMAccuracy
from bus_toolkit.evaluation.metrics.base import SampleMetric
from bus_toolkit.evaluation.metrics.caption_likelihood import CaptionLikelihood
from bus_toolkit.evaluation.metrics.caption_metrics import CaptionMetrics
from bus_toolkit.evaluation.metrics.grounding_accuracy import GroundingAccuracy
from bus_toolkit.evaluation.metrics.mlm_accuracy import MLMAccuracy
from bus_toolkit.evaluation.metrics.patch_text_auc import PatchTextAUC, roc_auc
from bus_toolkit.evaluation.metrics.retrieval_recall import RetrievalRecall
from bus_toolkit.evaluation.metrics.top_k_accuracy import TopKAccuracy
from bus_toolkit.evaluation.metrics.vqa_accuracy import VQAAccuracy
from bus_toolkit.evaluation.retrieval.loop import VLPEvalLoop
from bus_toolkit.evaluation.zero_shot.loop import ZeroShotLoop

__all__ = [
    "CaptionLikelihood",
    "CaptionMetrics",
    "ClassificationAccuracy",
    "GroundingAccuracy",
    "ITMAccuracy",
    "MLMAccuracy",
    "PatchTextAUC",
    "RetrievalRecall",
    "SampleMetric",
    "TopKAccuracy",
    "VLPEvalLoop",
    "VQAAccuracy",
    "ZeroShotLoop",
    "roc_auc",
]
