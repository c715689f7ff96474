"""Decoded images through the transforms that a config's evaluation uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from bus_toolkit.data.datasets.bad_samples import READ_ERRORS
from bus_toolkit.data.transforms.decode import MAX_PIXELS
from bus_toolkit.data.transforms.pad import ResizeAndPad
from bus_toolkit.errors import ConfigError, DataError
from bus_toolkit.registry import TRANSFORMS

_LOADERS = ("test_dataloader", "val_dataloader")
_OF_LABELS = frozenset({"AnswerLabel"})  # a question that is asked has no answer to read
_READS_ONE_IMAGE = frozenset({"LoadImage", "LoadImageFromFile", "LoadImageFromBytes"})
_WITHOUT_EFFECT_ON_PIXELS = frozenset({"type", "max_pixels", "backend_args", "file_client_args", "ignore_empty"})
# The whole image stays in view, so that a box can be brought back.
_KEEPS_THE_WHOLE = frozenset({"Resize", "ResizeEdge", "ResizeAndPad"})


class NamedImage(NamedTuple):
    """``pixels`` uint8 (H, W, 3), blue green red, and the name of the image in results and errors."""

    pixels: np.ndarray
    name: str


class ImagePipeline:
    """The transforms of ``test_dataloader`` (else ``val_dataloader``), but for those that read the file or an answer.

    Images come decoded as ``LoadImage`` decodes them, its ``max_pixels`` included; any other setting
    of pixels in the config's loader is refused.

    Args:
        cfg: A loaded config.
        image_size: Height and width in pixels that the model was built for.

    Attributes:
        nodes: The transforms of the config, the reader of the file first.

    Raises:
        ConfigError: No pipeline, several different ones, or one that does not start by reading one image.
    """

    def __init__(self, cfg: Mapping[str, Any], image_size: tuple[int, int]) -> None:
        import bus_toolkit.data  # noqa: F401  # registers our transforms

        self.location, nodes = _find_pipeline(cfg)
        _check_reader(self.location, nodes)
        self.image_size = image_size
        self.max_pixels = int(nodes[0].get("max_pixels", MAX_PIXELS))
        self.nodes = nodes = [node for node in nodes if _kind(node) not in _OF_LABELS]
        self._transforms = [TRANSFORMS.build(dict(node)) for node in nodes[1:]]

    def batch(self, images: Sequence[NamedImage], texts: Sequence[str], first: int = 0) -> dict[str, Any]:
        """Return a batch as a data loader does: ``inputs`` uint8 (B, 3, H, W), blue green red, and ``data_samples``.

        Args:
            images: B images.
            texts: One an image.
            first: Number of the first image; it becomes its ``image_id``.

        Raises:
            DataError: An image that a transform cannot use, or that leaves the pipeline in another size than the
                model's.
        """
        rows = enumerate(zip(images, texts, strict=True), first)
        packed = [self._run(image, text, number) for number, (image, text) in rows]
        return {
            "inputs": torch.stack([sample["inputs"] for sample in packed]),
            "data_samples": [sample["data_samples"] for sample in packed],
        }

    def check_boxes(self) -> None:
        """Refuse a pipeline through which boxes cannot be followed back.

        Raises:
            ConfigError: A transform that need not show the whole image.
        """
        other = [kind for kind in map(_kind, self.nodes[1:-1]) if kind not in _KEEPS_THE_WHOLE]
        if other:
            raise ConfigError(
                f"{self.location}: boxes can be brought back to the image only through "
                f"{', '.join(sorted(_KEEPS_THE_WHOLE))}, got {', '.join(other)}. Take these out for grounding."
            )

    def original_box(self, box: Sequence[float], size: tuple[int, int]) -> list[float]:
        """Return corners in pixels of the model's input in pixels of an image of ``size`` (H, W), cut to it."""
        for transform in self._transforms:
            if isinstance(transform, ResizeAndPad):
                return _cut(transform.placement(size).on_image(np.array([box]), size)[0].tolist(), size)
        factors = [size[1] / self.image_size[1], size[0] / self.image_size[0]] * 2
        return _cut([v * f for v, f in zip(box, factors, strict=True)], size)

    def _run(self, image: NamedImage, text: str, number: int) -> dict[str, Any]:
        shape = image.pixels.shape[:2]
        sample: Any = {"img": image.pixels, "img_path": image.name, "img_shape": shape, "ori_shape": shape}
        sample |= {"text": text, "image_id": number, "text_id": number}
        for transform in self._transforms:
            reason = f"{image.name}: {type(transform).__name__} of {self.location} could not use it"
            try:
                sample = transform(sample)
            except READ_ERRORS as error:
                raise DataError(f"{reason}: {' '.join(str(error).split()) or type(error).__name__}.") from error
            if sample is None:
                raise DataError(f"{reason}.")
        _check_size(sample["inputs"], image.name, self)
        return sample

    def resizing_option(self) -> str:
        """Return the override that lets the pipeline resize to the model's size."""
        height, width = self.image_size
        nodes = [dict(node) for node in self.nodes]
        resize = {
            "type": "mmpretrain.Resize",
            "scale": [width, height],
            "interpolation": "bicubic",
            "backend": "pillow",
        }
        nodes.insert(1, resize)
        text = ", ".join("{" + ", ".join(f"{key}: {value}" for key, value in node.items()) + "}" for node in nodes)
        return f"{self.location}=[{text}]"


def _cut(box: Sequence[float], size: tuple[int, int]) -> list[float]:
    return [min(max(v, 0.0), float(limit)) for v, limit in zip(box, [size[1], size[0]] * 2, strict=True)]


def _check_size(inputs: Tensor, name: str, pipeline: ImagePipeline) -> None:
    got, wanted = tuple(inputs.shape[-2:]), pipeline.image_size
    if got != wanted:
        raise DataError(
            f"{name}: leaves the pipeline as {got[1]} x {got[0]} px, and the model takes {wanted[1]} x {wanted[0]}. "
            f"Give images of that size, or let the config resize them: cfg_options (--cfg-options) "
            f"'{pipeline.resizing_option()}'."
        )


def _find_pipeline(cfg: Mapping[str, Any]) -> tuple[str, list[Mapping[str, Any]]]:
    """Return the pipeline of the evaluation and its path in the config."""
    for loader in _LOADERS:
        pipelines = list(_pipelines((cfg.get(loader) or {}).get("dataset"), f"{loader}.dataset"))
        if any(nodes != pipelines[0][1] for _, nodes in pipelines):
            raise ConfigError(
                f"{loader}.dataset: one image needs one pipeline, got different ones at "
                f"{', '.join(path for path, _ in pipelines)}. Make them equal with cfg_options (--cfg-options)."
            )
        if pipelines:
            return pipelines[0]
    raise ConfigError(
        f"{' and '.join(_LOADERS)}: one of them must have a dataset with a pipeline, by which images are resized, got "
        "none. Give the config of a run that evaluates."
    )


def _pipelines(node: Any, path: str) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    """Yield the outermost pipelines below a data set's node."""
    if isinstance(node, Mapping):
        if node.get("pipeline"):
            yield f"{path}.pipeline", list(node["pipeline"])
            return
        for key, child in node.items():
            yield from _pipelines(child, f"{path}.{key}")
    elif isinstance(node, list | tuple):
        for number, child in enumerate(node):
            yield from _pipelines(child, f"{path}.{number}")


def _check_reader(location: str, nodes: Sequence[Mapping[str, Any]]) -> None:
    if _kind(nodes[0]) not in _READS_ONE_IMAGE or len(nodes) < 2:
        raise ConfigError(
            f"{location}: must start with one of {', '.join(sorted(_READS_ONE_IMAGE))} and end by packing, got "
            f"{', '.join(map(_kind, nodes))}. Only models of one image a text can be asked."
        )
    extra = {key: value for key, value in nodes[0].items() if key not in _WITHOUT_EFFECT_ON_PIXELS}
    if extra and extra != {"imdecode_backend": "cv2"}:
        raise ConfigError(
            f"{location}.0: images are decoded to 8 bits and three colours here, got {extra}. Leave these out."
        )


def _kind(node: Mapping[str, Any]) -> str:
    return str(node.get("type")).rsplit(".", 1)[-1]
