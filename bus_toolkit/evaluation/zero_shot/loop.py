"""The evaluation loop of zero-shot classification.

Dims: B images, C classes, E width of the features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.runner import Runner
from torch import Tensor
from typing_extensions import override

from bus_toolkit.errors import ConfigError, DataError
from bus_toolkit.evaluation.eval_loop import EvalLoop
from bus_toolkit.evaluation.zero_shot.class_texts import (
    TEMPLATES,
    checked_names,
    checked_templates,
    class_feats,
    refuse_alike,
)
from bus_toolkit.heads.base import find_head
from bus_toolkit.heads.itc import ITCHead
from bus_toolkit.registry import LOOPS


@LOOPS.register_module()
class ZeroShotLoop(EvalLoop):
    """Classify images by the class whose name is nearest in the space of contrast; goes into ``val_cfg``, ``test_cfg``.

    The names are those that the data set states (``metainfo["classes"]``, as ``LabelledImages`` has them). Their
    sentences are encoded once, by all ranks together. The images are encoded without text, as for retrieval:
    ``conditioning.without_text`` says what selects patches then. No other head runs. Each sample gets ``pred_classes``,
    int64 (k,), the nearest classes with the best first, and ``pred_label``, the first of them.

    Args:
        runner: Given by MMEngine.
        dataloader: Given by MMEngine.
        evaluator: Given by MMEngine.
        templates: Sentences with ``{}`` in the place of the name; a class is the mean of its sentences.
        keep: How many classes ``pred_classes`` names; at most all.
        fp16: Evaluate under automatic mixed precision.

    Raises:
        ConfigError: A template without ``{}``, ``keep`` below 1, or a model without an ITC head.
        DataError: The data set states no names, or unusable ones.
    """

    gives = ("pred_classes", "pred_label")

    def __init__(
        self,
        runner: Runner,
        dataloader: Any,
        evaluator: Any,
        *,
        templates: str | Sequence[str] = TEMPLATES,
        keep: int = 5,
        fp16: bool = False,
    ) -> None:
        super().__init__(runner, dataloader, evaluator, fp16)
        self.templates = checked_templates(templates, "ZeroShotLoop.templates")
        if keep < 1:
            raise ConfigError(f"ZeroShotLoop.keep: must be 1 or more, got {keep}.")
        heads = getattr(self.bare_model, "heads", {})
        if find_head(heads.values(), ITCHead) is None:
            raise ConfigError(
                f"ZeroShotLoop: classes are compared by an ITCHead, got {sorted(heads)}. Add it under model.heads."
            )
        stated = getattr(self.dataloader.dataset, "metainfo", {}).get("classes")
        if stated is None:
            raise DataError(
                "ZeroShotLoop: the data set must state the names of its classes (metainfo['classes']), got none. Use "
                "LabelledImages."
            )
        location = "ZeroShotLoop: metainfo['classes'] of the data set"
        self.names = checked_names(stated, location)
        refuse_alike(getattr(self.bare_model, "tokenizer", None), self.names, self.templates, location)
        self.keep = min(keep, len(self.names))
        self._classes: Tensor | None = None

    @override
    def prepare(self) -> None:
        self._classes = shared_class_feats(self.bare_model, self.names, self.templates)

    @override
    def predict(self, data_batch: Any) -> Sequence[Any]:
        model, classes = self.bare_model, self._classes
        assert classes is not None
        batch = model.data_preprocessor(dict(data_batch), False)
        head = find_head(model.heads.values(), ITCHead)
        assert head is not None
        feats = head.image_feats(model.encode(batch["images"]))  # (B, E)
        nearest = (feats @ classes.to(feats.dtype).T).topk(self.keep, dim=1).indices.cpu()  # (B, k)
        for sample, row in zip(batch["data_samples"], nearest, strict=True):
            sample.set_field(row, "pred_classes", dtype=None)
            sample.set_field(row[:1], "pred_label", dtype=None)
        return batch["data_samples"]


def shared_class_feats(model: Any, names: Sequence[str], templates: Sequence[str]) -> Tensor:
    """Return ``class_feats`` (C, E), of which each rank encodes its share and gets those of the others."""
    rank, ranks = get_rank(), get_world_size()  # more ranks than classes: the last ones have none
    parts = all_gather_object(class_feats(model, names[rank::ranks], templates).cpu() if names[rank::ranks] else None)
    whole = parts[0].new_empty(len(names), parts[0].shape[1])
    for position, part in enumerate(parts):
        if part is not None:
            whole[position::ranks] = part
    return whole.to(next(model.parameters()).device)
