"""Images and texts through the model in batches; predictions come back in the order of the input."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bus_toolkit.heads.base import VLPHead
from bus_toolkit.inference.inputs import ImageInput
from bus_toolkit.inference.pipeline import ImagePipeline
from bus_toolkit.models.vlp import VLPModel
from bus_toolkit.step.step import Step

# A batch has a text for each image; heads that write from the image alone do not read it.
_PLACEHOLDER = "a"


class Prediction(NamedTuple):
    """A prediction for one image: its ``fields`` as plain objects; ``size`` is the image's (height, width)."""

    image: str
    text: str
    size: tuple[int, int]
    fields: dict[str, Any]


class Predictor:
    """A model and the pipeline that its images go through.

    Args:
        model: In eval mode.
        pipeline: Makes batches.
        batch_size: Images at a time; no more are decoded at once.
    """

    def __init__(self, model: VLPModel, pipeline: ImagePipeline, batch_size: int) -> None:
        self.model, self.pipeline, self.batch_size = model, pipeline, batch_size

    def batches(
        self, images: list[ImageInput], texts: list[str] | None = None
    ) -> Iterator[tuple[list[ImageInput], dict[str, Any]]]:
        """Yield the images of a batch, and the batch as a data loader gives it.

        Raises:
            DataError: An image that cannot be read or used.
        """
        limit = self.pipeline.max_pixels
        for start in range(0, len(images), self.batch_size):
            chunk = images[start : start + self.batch_size]
            words = texts[start : start + self.batch_size] if texts else [_PLACEHOLDER] * len(chunk)
            yield chunk, self.pipeline.batch([image.read(limit) for image in chunk], words, start)

    def step(self, batch: dict[str, Any]) -> Step:
        """Return the passes of a batch, as ``model.predict`` makes them; each runs when it is first used."""
        ready = self.model.data_preprocessor(batch, False)
        return Step(self.model.passes(ready["images"], ready["data_samples"]))

    @torch.no_grad()
    def predict(self, head: VLPHead, images: list[ImageInput], texts: list[str] | None = None) -> list[Prediction]:
        """Return the predictions of a head for each image (under its text).

        Raises:
            DataError: An image that cannot be read or used.
        """
        out: list[Prediction] = []
        for chunk, batch in self.batches(images, texts):
            fields = {name: _plain(values) for name, values in head.predict(self.step(batch)).items()}
            for row, (image, sample) in enumerate(zip(chunk, batch["data_samples"], strict=True)):
                own = {name: values[row] for name, values in fields.items()}
                out.append(Prediction(image.name, sample.text, sample.ori_shape, own))
        return out


def _plain(values: Any) -> list[Any]:
    """Return predictions, one a sample, without tensors."""
    if isinstance(values, Tensor):
        return values.tolist()
    return [value.tolist() if isinstance(value, Tensor) else value for value in values]
