"""Mistakes in the data of a config that show in a data loader or its first batch: each ends in one clear line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mmengine.config import Config
from mmengine.dataset import InfiniteSampler, default_collate, pseudo_collate
from mmengine.runner import EpochBasedTrainLoop
from torch import nn
from torch.utils.data import DataLoader

from bus_toolkit.backbones import TokenReducingBackbone
from bus_toolkit.config.image_size import Size, final_sizes, pixels
from bus_toolkit.data.datasets.bad_samples import LoadingError
from bus_toolkit.data.datasets.texts_of_image import collate_texts_of_images, texts_an_item, texts_of
from bus_toolkit.data.leaves import inside
from bus_toolkit.data.samplers.shard_samplers import EndlessShardSampler
from bus_toolkit.data.samplers.source_streams import MixedRows
from bus_toolkit.errors import ConfigError, DataError, Problem
from bus_toolkit.heads.classification import ClassificationHead, label_problem
from bus_toolkit.labels import as_label
from bus_toolkit.ops.collective import world_size
from bus_toolkit.registry import LOOPS

_ENDLESS = (InfiniteSampler, EndlessShardSampler)
_OPENMMLAB = ("mmengine", "mmpretrain")


def check_loader(loader: DataLoader, path: str, model: nn.Module) -> None:
    """Refuse a data loader without a batch, and let it check every batch that it collates.

    Args:
        loader: Its ``collate_fn`` is replaced.
        path: Its YAML path, for messages.
        model: Takes its batches.

    Raises:
        DataError: The data set is empty, or smaller than a batch while ``drop_last`` is set; or the images of a batch
            stay a list that the model would take for several images of one text; or it has no boxes and a selector
            needs them.
    """
    _check_stacked(loader, path, model)
    _check_several_texts(loader, path)
    if isinstance(loader.dataset, Sequence) or hasattr(loader.dataset, "__len__"):
        _check_length(loader, path, len(loader.dataset))
    _check_boxes(loader, path, model)
    size, classes = image_size_of(model), class_counts(model)
    if size is not None or classes:
        loader.collate_fn = CheckedCollate(loader.collate_fn, path, size, classes)


def _check_stacked(loader: DataLoader, path: str, model: nn.Module) -> None:
    """Refuse lists of images for mmpretrain's preprocessor, which stacks them as images of one text: (C, B, H, W)."""
    from mmpretrain.models.utils.data_preprocessor import MultiModalDataPreprocessor

    collate = getattr(loader.collate_fn, "func", loader.collate_fn)
    if collate is pseudo_collate and isinstance(getattr(model, "data_preprocessor", None), MultiModalDataPreprocessor):
        raise DataError(
            f"{path}.collate_fn: must stack the images, got pseudo_collate, MMEngine's default, which leaves a list. "
            "Set it to {type: default_collate}."
        )


def _check_several_texts(loader: DataLoader, path: str) -> None:
    """Refuse several texts an image where each text is wanted once, and without the function that collates them.

    Raises:
        ConfigError: They are there.
    """
    if texts_an_item(loader.dataset) == 1:
        return
    if not path.startswith("train"):
        text = (
            "draws some texts of each image, some of them twice, got TextsOfImage in an evaluation, which reads every "
            "text once. Put its `dataset` in its place."
        )
        raise ConfigError(Problem(f"{path}.dataset", text))
    if getattr(loader.collate_fn, "func", loader.collate_fn) is not collate_texts_of_images:
        text = "must be collate_texts_of_images for several texts an image. Set it to {type: collate_texts_of_images}."
        raise ConfigError(Problem(f"{path}.collate_fn", text))


def _check_boxes(loader: DataLoader, path: str, model: nn.Module) -> None:
    """Refuse data without a box for selectors that read the boxes: they would select by nothing.

    Raises:
        DataError: No row has boxes.
    """
    backbone = getattr(model, "backbone", None)
    if not isinstance(backbone, TokenReducingBackbone) or not backbone.needs_boxes or _has_boxes(loader.dataset):
        return
    names = ", ".join(type(selector).__name__ for selector in backbone.selectors if selector.needs_boxes)
    raise DataError(
        f"{path}.dataset: must have boxes, which {names} in model.selectors reads, got {type(loader.dataset).__name__} "
        "without any. Give it instances_file and regions_file, or use another selector."
    )


def _has_boxes(dataset: Any) -> bool:
    """Return whether a row of a data set has boxes, also within the wrappers of torch and MMEngine."""
    rows = getattr(dataset, "boxed_indices", None)
    if rows is not None:
        return len(rows) > 0
    return any(map(_has_boxes, inside(dataset)))


def is_endless(loader: DataLoader) -> bool:
    """Return whether a data loader gives batches without end."""
    samplers = (loader.sampler, getattr(loader.batch_sampler, "sampler", None))
    return any(isinstance(s, _ENDLESS) or (isinstance(s, MixedRows) and s.endless) for s in samplers)


def goes_by_iterations(loop: Any) -> bool:
    """Return whether a train loop, or the node of one, asks for batches one by one, not for all of an epoch."""
    if isinstance(loop, Mapping):
        kind = LOOPS.get(loop["type"]) if "type" in loop else None
        return loop.get("by_epoch") is False if kind is None else not issubclass(kind, EpochBasedTrainLoop)
    return not isinstance(loop, EpochBasedTrainLoop)


def check_end(loader: DataLoader, path: str) -> None:
    """Refuse a data loader without end for a loop that goes through all of it.

    Raises:
        ConfigError: It has no end.
    """
    if is_endless(loader):
        text = (
            "must end for a loop that goes by epochs, got a sampler without end: the first epoch would last for ever. "
            "Use DefaultSampler, or for a training train_cfg.type: IterBasedTrainLoop with max_iters."
        )
        raise ConfigError(Problem(f"{path}.sampler", text))


def check_pipeline_sizes(cfg: Config, model: nn.Module) -> None:
    """Compare the image size at the end of each pipeline with that of the model, where both are known.

    Raises:
        ConfigError: They differ.
    """
    wanted = image_size_of(model)
    if wanted is None:
        return
    problems = [
        Problem(
            path,
            f"images leave this pipeline with {pixels(size)} px, model.backbone takes {pixels(wanted)} px. Set both to "
            "one size, a multiple of the patch size.",
        )
        for path, size in final_sizes(cfg)
        if size != wanted
    ]
    if problems:
        raise ConfigError(problems)


def image_size_of(model: nn.Module) -> Size | None:
    """Return height and width in pixels that a model takes.

    ``None`` where it takes any, pads images itself, or has a data preprocessor of its own, which may resize them.
    """
    backbone = getattr(model, "backbone", None)
    if not isinstance(backbone, TokenReducingBackbone) or backbone.adapter.takes_any_size:
        return None
    preprocessor = getattr(model, "data_preprocessor", None)
    is_known = preprocessor is None or type(preprocessor).__module__.partition(".")[0] in _OPENMMLAB
    if not is_known or getattr(preprocessor, "pad_size_divisor", 1) != 1:
        return None
    return backbone.image_size


class CheckedCollate:
    """Collate samples that were packed, have the size of the model, and labels that its heads know.

    Args:
        collate: Makes a batch of the samples.
        path: YAML path of the data loader.
        size: Height and width in pixels that the model takes; ``None`` where it does not say.
        classes: Number of classes by name of the head.
    """

    def __init__(
        self, collate: Callable[..., Any], path: str, size: Size | None, classes: Mapping[str, int] | None = None
    ) -> None:
        self.collate, self.path, self.size, self.classes = collate, path, size, dict(classes or {})
        kind = getattr(collate, "func", collate)
        # MMEngine's pseudo_collate leaves images of several sizes to the data preprocessor, which pads to the largest.
        self.stacks, self.pads = kind in (default_collate, collate_texts_of_images), kind is pseudo_collate

    def __call__(self, samples: Sequence[Any]) -> Any:
        """Return the batch.

        Raises:
            LoadingError: A sample was not packed, an image has another size, or a label is none of a head's classes.
        """
        if self.pads and self.size is not None:
            self._check_largest(samples, self.size)
        for sample in samples:
            self._check_packed(sample)
            if self.size is not None:
                for size in _sizes(sample["inputs"]):
                    self._check_size(size, sample, self.size)
            if self.classes:
                for one in texts_of(sample["data_samples"]):
                    self._check_label(one)
        return self.collate(samples)

    def _check_label(self, sample: Any) -> None:
        label, objectives = sample.get("gt_label"), sample.get("objectives")
        if label is None:
            return
        for name, count in self.classes.items():
            if objectives is not None and name not in objectives:
                continue
            try:
                problem = label_problem(as_label(label), count, f"model.heads.{name}")
            except ValueError as error:
                problem = f"gt_label: {error}. Correct the data."
            if problem:
                raise LoadingError(f"{self.path}.dataset: {_named(sample)}: {problem}")

    def _check_size(self, size: Size, sample: Mapping[str, Any], wanted: Size) -> None:
        if self.stacks and size != wanted:
            side = wanted[0] if wanted[0] == wanted[1] else list(wanted[::-1])
            raise LoadingError(
                f"{self.path}.dataset.pipeline: images must have the {pixels(wanted)} px of model.backbone, got "
                f"{pixels(size)} px{_file(sample)}. Add {{type: mmpretrain.Resize, scale: {side}}} after loading, "
                "or change model.backbone.img_size."
            )

    def _check_largest(self, samples: Sequence[Any], wanted: Size) -> None:
        sizes = [size for sample in samples if isinstance(sample, Mapping) for size in _sizes(sample.get("inputs", ()))]
        largest = tuple(max(sides) for sides in zip(*sizes, strict=True))
        if sizes and largest != wanted:
            raise LoadingError(
                f"{self.path}.dataset.pipeline: the largest image of a batch, to which others are padded, must have "
                f"the {pixels(wanted)} px of model.backbone, got {largest[0]}x{largest[1]} px. Resize the images, or "
                "change model.backbone.img_size."
            )

    def _check_packed(self, sample: Any) -> None:
        keys = list(sample) if isinstance(sample, Mapping) else [type(sample).__name__]
        if "data_samples" in keys and "inputs" not in keys:
            raise LoadingError(
                f"{self.path}.dataset.pipeline: must start by loading, got samples without pixels. Add "
                "{type: LoadImage} at its start."
            )
        if not {"inputs", "data_samples"}.issubset(keys):
            raise LoadingError(
                f"{self.path}.dataset.pipeline: must end by packing, got samples with {', '.join(map(str, keys))}. Add "
                "{type: PackRegions} at its end."
            )


def class_counts(model: nn.Module) -> dict[str, int]:
    """Return the number of classes of each classification head by its name under ``model.heads``."""
    heads = getattr(model, "heads", {})
    return {name: head.num_classes for name, head in heads.items() if isinstance(head, ClassificationHead)}


def _named(sample: Any) -> str:
    """Return the id of a sample's text and its image, for messages."""
    return f"text id {sample.get('text_id')}, {sample.get('img_path')}"


def _sizes(inputs: Any) -> list[Size]:
    """Return height and width of an image, or of each of several images that share a text."""
    images = inputs if isinstance(inputs, (list, tuple)) else [inputs]
    return [(image.shape[-2], image.shape[-1]) for image in images]


def _check_length(loader: DataLoader, path: str, rows: int) -> None:
    if rows == 0:
        raise DataError(
            f"{path}.dataset: is empty. Check its annotation file, and which samples its settings leave out."
        )
    if is_endless(loader):
        return
    if len(loader) == 0:
        size = getattr(loader.batch_sampler, "batch_size", loader.batch_size)
        shared = "" if world_size() == 1 else f", which {world_size()} processes share"
        raise DataError(
            f"{path}.batch_size: is larger than the data and drop_last leaves out a batch that is not full, got "
            f"{size} for {rows} samples{shared}. Lower it, or set drop_last: false."
        )


def _file(sample: Mapping[str, Any]) -> str:
    path = getattr(texts_of(sample["data_samples"])[0], "img_path", None)
    return "" if path is None else f" ({path})"
