"""Images that a model is trained on and evaluated on: the figures of an evaluation would say nothing about new ones."""

from __future__ import annotations

import logging
from typing import Any

from mmengine.dist import is_main_process

from bus_toolkit.data.datasets.image_text_pairs import ImageTextPairs
from bus_toolkit.data.leaves import leaves

_log = logging.getLogger(__name__)


def check_held_out(trained_on: Any, dataset: Any, path: str) -> None:
    """Warn of images of an evaluation that the training has too.

    To overfit a few images on purpose is legitimate, so this is no error. Data sets of pairs are compared by the paths
    of their images, others are not looked at.

    Args:
        trained_on: The data set of the training.
        dataset: That of the evaluation.
        path: The YAML path of the data loader of the evaluation.
    """
    images = _images(dataset)
    shared = images & _images(trained_on)
    if shared and is_main_process():
        _log.warning(
            "%s.dataset: %d of its %d images are images of train_dataloader.dataset too, such as %s: the figures say "
            "how well the model knows what it was trained on. Set split: train there and split: val here with one "
            "val_share, or name other files.",
            path,
            len(shared),
            len(images),
            min(shared),
        )


def _images(dataset: Any) -> set[str]:
    return {image for leaf in leaves(dataset) if isinstance(leaf, ImageTextPairs) for image in leaf.image_paths}
