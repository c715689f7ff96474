"""What a training loop of the user's own may give a model, checked before anything is computed from it."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

from mmengine.structures import BaseDataElement
from torch import Tensor

from bus_toolkit.errors import ConfigError, DataError, describe
from bus_toolkit.step.batch import texts_per_image


def check_batch(images: Any, data_samples: Any) -> None:
    """Refuse a batch whose texts do not belong to its images.

    Raises:
        DataError: ``data_samples`` are no list of data samples, not as many for each image, or several an image
            without an ``image_id``.
    """
    if not isinstance(data_samples, Sequence) or not all(isinstance(one, BaseDataElement) for one in data_samples):
        what = describe(data_samples)
        if isinstance(data_samples, Sequence) and len(data_samples):
            what += f" of {describe(data_samples[0])}"
        raise DataError(
            f"data_samples: must be a list of data samples, one or more an image, got {what}. "
            "bus_toolkit.models.make_samples makes it from texts."
        )
    if isinstance(images, Tensor) and images.dim():
        count = texts_per_image(images, data_samples)
        nameless = next((row for row, one in enumerate(data_samples) if one.get("image_id") is None), None)
        if count > 1 and nameless is not None:  # as likely an image too few as an image of several texts
            raise DataError(
                f"data_samples: {count} texts an image must say by image_id whose they are, got row {nameless} without "
                "one. Write make_samples(texts, image_id=[0, 0, 1, 1]), or give an image for each text."
            )


def check_progress(epoch: Any, iteration: Any) -> None:
    """Refuse a progress that no training has.

    Raises:
        ConfigError: ``epoch`` is no number of 0 or more, or ``iteration`` no whole number of 0 or more.
    """
    if not isinstance(epoch, Real) or not float(epoch) >= 0.0:  # infinity is after the start of every head; NaN is not
        raise ConfigError(f"set_progress.epoch: must be a number of 0 or more, fractions count, got {epoch!r}.")
    if not isinstance(iteration, Real) or iteration % 1 or iteration < 0:
        raise ConfigError(f"set_progress.iteration: must be a whole number of 0 or more, got {iteration!r}.")
