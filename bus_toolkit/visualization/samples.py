"""The parts of a sample that can be drawn: pictures after the pipeline, boxes, patch labels and texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from bus_toolkit.errors import DataError
from bus_toolkit.ops.patch_labels import boxes_to_patch_labels


@dataclass(frozen=True)
class SamplePicture:
    """One sample as it is drawn.

    Attributes:
        images: uint8 RGB (H, W, 3) each; two for a statement about two pictures.
        texts: What is written below: a heading (may be empty) and its text each.
        boxes: float (n, 4), corners in pixels of the first image, or ``None``.
        named: bool (n,), the text names the object, or ``None``.
        labels: bool (rows, columns) of the patches that the named objects cover, or ``None``.
        covered: The same of all objects.
    """

    images: list[np.ndarray]
    texts: list[tuple[str, str]] = field(default_factory=list)
    boxes: np.ndarray | None = None
    named: np.ndarray | None = None
    labels: np.ndarray | None = None
    covered: np.ndarray | None = None

    @classmethod
    def from_packed(
        cls, packed: Mapping[str, Any], *, heading: str = "text", patch_size: int | None = None, overlap: float = 0.0
    ) -> SamplePicture:
        """Make a picture of a packed sample of a data set.

        Args:
            packed: ``inputs`` (3, H, W), or several of these, 0 to 255, blue green red; ``data_samples``.
            heading: What to call the text.
            patch_size: Side of a patch in pixels, to show patch labels as ``PatchTextHead`` makes them; ``None`` shows
                none.
            overlap: That head's ``overlap``.

        Raises:
            DataError: ``inputs`` have another shape, or patches are larger than the image.
        """
        inputs, sample = packed["inputs"], packed["data_samples"]
        parts = list(inputs) if isinstance(inputs, list | tuple) or inputs.ndim == 4 else [inputs]
        if not all(part.ndim == 3 and part.shape[0] == 3 for part in parts):
            raise DataError(
                f"SamplePicture: inputs must be (3, H, W) each, got {[tuple(part.shape) for part in parts]}. End the "
                "pipeline with PackRegions."
            )
        images = [
            np.ascontiguousarray(part.clamp(0, 255).to(torch.uint8).numpy()[::-1].transpose(1, 2, 0)) for part in parts
        ]
        boxes, named = sample.get("gt_boxes"), sample.get("named")
        labels = covered = None
        if boxes is not None and named is not None and patch_size is not None:
            labels, covered = _labels(boxes, named, images[0].shape[:2], patch_size, overlap)
        return cls(
            images,
            texts_of(sample, heading),
            None if boxes is None else boxes.numpy(),
            None if named is None else named.numpy(),
            labels,
            covered,
        )


def texts_of(sample: Any, heading: str) -> list[tuple[str, str]]:
    """Return the texts of a data sample, each with a heading, its file first; unknown fields are passed over."""
    path = sample.get("img_path")
    files = [str(part).rsplit("/", 1)[-1] for part in (path if isinstance(path, list | tuple) else [path]) if part]
    lines = [("", "  ".join(files))] if files else []
    if sample.get("text") is not None:
        lines.append((heading, str(sample.get("text"))))
    answers, weights = sample.get("gt_answer"), sample.get("gt_answer_weight")
    if answers:
        answers = [answers] if isinstance(answers, str) else answers
        shares = [f" ({weight:.0%})" for weight in weights] if weights else [""] * len(answers)
        lines.append(("answer", ", ".join(f"{text}{share}" for text, share in zip(answers, shares, strict=True))))
    if sample.get("gt_label") is not None:
        lines.append(("label", ", ".join(str(int(value)) for value in sample.get("gt_label").reshape(-1))))
    if sample.get("references"):
        lines.append(("references", " / ".join(sample.get("references"))))
    objectives = sample.get("objectives")
    serves = "" if objectives is None else f" (serves {', '.join(objectives)})"
    if sample.get("source") is not None:
        lines.append(("source", f"{sample.get('source')}{serves}"))
    return lines


def _labels(
    boxes: torch.Tensor, named: torch.Tensor, size: tuple[int, int], patch_size: int, overlap: float
) -> tuple[np.ndarray, np.ndarray]:
    try:
        covered = boxes_to_patch_labels(boxes, size, patch_size, overlap)
    except ValueError as error:
        raise DataError(f"SamplePicture.patch_size: {error} Give the side of a patch in pixels.") from error
    grid = (size[0] // patch_size, size[1] // patch_size)
    # covered is bool (boxes, patches), row by row: any box gives (patches,), which becomes (rows, columns).
    return covered[named].any(dim=0).reshape(grid).numpy(), covered.any(dim=0).reshape(grid).numpy()
