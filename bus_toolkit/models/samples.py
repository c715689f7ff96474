"""Texts, and what a data set would give with them, as the data samples that losses read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmpretrain.structures import DataSample

from bus_toolkit.errors import DataError
from bus_toolkit.models.asking import listed_texts


def make_samples(texts: Sequence[str], **fields: Sequence[Any]) -> list[DataSample]:
    """Return a data sample for each text, for ``VLPModel.loss`` and ``VLPModel.predict``.

    Args:
        texts: The captions (questions, expressions, statements), one an image; or several next to each other, the same
            number for each image, with ``image_id``.
        **fields: Further fields, a value for each text: ``image_id`` (equal for captions of one image), ``gt_boxes``
            (boxes float (n, 4), left, top, right, bottom in pixels of the model's input) with ``named`` (bool (n,)),
            ``gt_label``, ``gt_answer``, or what a head of yours reads by ``step.batch.field``.

    Raises:
        DataError: No text, one that is no string or has no word, or a field with another number of values.
    """
    if isinstance(texts, str):
        raise DataError(f"texts: must be a list of one text an image, got the text {texts!r}. Put it in a list.")
    texts = listed_texts(texts)
    for name, values in fields.items():
        if len(values) != len(texts):
            raise DataError(f"{name}: needs one value a text, {len(texts)}, got {len(values)}.")
    samples = []
    for row, text in enumerate(texts):
        sample = DataSample()
        sample.set_field(text, "text", dtype=None)
        for name, values in fields.items():
            sample.set_field(values[row], name, dtype=None)
        samples.append(sample)
    return samples
