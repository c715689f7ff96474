"""Mirrors under which pixels, boxes and the words left and right stay consistent.

A sample has ``img`` uint8 (H, W, 3), ``text``, and where known ``gt_bboxes`` float32 (n, 4) in pixels and ``named``
bool (n,). mmpretrain's ``Resize`` moves ``gt_bboxes`` by itself. Random numbers come from NumPy's global generator,
which a training seeds for each sample.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from bus_toolkit.data.transforms.shares import check_share
from bus_toolkit.registry import TRANSFORMS

_LEFT_RIGHT = {"left": "right", "right": "left"}
_SIDED_WORD = re.compile(
    r"\b(?:(left|right)(?=\b|most\b|ward\b|wards\b|hand\b|handed\b|side\b)|(counter-?|anti-?)?clockwise\b)",
    re.IGNORECASE,
)


@TRANSFORMS.register_module()
class RandomFlipWithText(BaseTransform):
    """Mirror an image left to right together with its boxes and the words ``left`` and ``right`` of its caption.

    ``clockwise`` and ``counterclockwise`` change places too.

    Where the text is a question, its answers (``gt_answer``, ``answers``) are mirrored as well. The words are also
    found within ``left-of``, ``leftmost``, ``right-hand`` and the like. ALBEF, mPLUG and BLIP mirror half of the images
    and leave the words (but for mPLUG's grounding): that the words follow is our choice. Slot: ``pipeline`` of a data
    set.

    Args:
        prob: How often, in [0, 1].
        mirror_text: False leaves the words, for statements about two images, whose left and right are the images.

    Raises:
        ConfigError: ``prob`` outside [0, 1].
    """

    def __init__(self, prob: float = 0.5, *, mirror_text: bool = True) -> None:
        check_share("RandomFlipWithText.prob", prob)
        self.prob = prob
        self.mirror_text = mirror_text

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Mirror the sample with the set probability."""
        if np.random.random() >= self.prob:
            return results
        # Contiguous, since OpenCV takes no array with a negative stride.
        results["img"] = np.ascontiguousarray(results["img"][:, ::-1])
        if self.mirror_text:
            results["text"] = mirror_words(results["text"])
            for name in ("gt_answer", "answers"):
                if results.get(name) is not None:
                    results[name] = _mirror_answers(results[name])
        if "gt_bboxes" in results:
            # Left and right change places, or x1 would be larger than x2.
            width, boxes = results["img"].shape[1], results["gt_bboxes"]
            results["gt_bboxes"] = np.stack(
                [width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1
            ).astype(np.float32)
        return results


def _mirror_answers(answers: str | Sequence[str]) -> str | list[str]:
    """Mirror one answer, as mmpretrain's ``GQA`` has it, or a list of them."""
    return mirror_words(answers) if isinstance(answers, str) else [mirror_words(answer) for answer in answers]


def mirror_words(text: str, *, turns: bool = True) -> str:
    """Swap the words left and right, and with ``turns`` clockwise and counterclockwise; their capitals stay."""

    def swap(match: re.Match[str]) -> str:
        word, side, against = match.group(0, 1, 2)
        if not side and not turns:
            return word
        other = _LEFT_RIGHT[side.lower()] if side else "clockwise" if against else "counterclockwise"
        if word.isupper():
            return other.upper()
        return other.capitalize() if word[0].isupper() else other

    return _SIDED_WORD.sub(swap, text)


@TRANSFORMS.register_module()
class RandomSwapImagesWithText(BaseTransform):
    """Let the two images of a statement change places, together with the words left and right.

    As mPLUG trains NLVR2 (X-PLUG/mPLUG: ``dataset/nlvr_dataset.py``). Slot: ``pipeline`` of a data set,
    after both images are loaded.

    Args:
        prob: How often, in [0, 1].

    Raises:
        ConfigError: ``prob`` outside [0, 1].
    """

    def __init__(self, prob: float = 0.5) -> None:
        check_share("RandomSwapImagesWithText.prob", prob)
        self.prob = prob

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Swap the images with the set probability."""
        images = results["img"]
        if not isinstance(images, list) or len(images) != 2:
            raise OSError("RandomSwapImagesWithText needs a sample with two images")
        if np.random.random() < self.prob:
            results["img"] = images[::-1]
            if isinstance(results.get("img_path"), list):
                results["img_path"] = results["img_path"][::-1]
            results["text"] = mirror_words(results["text"], turns=False)
        return results
