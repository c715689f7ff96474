"""Flickr30k in Karpathy's split."""

from __future__ import annotations

from bus_toolkit.data.preparation.counts import Count
from bus_toolkit.data.preparation.karpathy import ORIGIN, convert_karpathy
from bus_toolkit.data.preparation.recipe import Conversion, Recipe, Wanted

PAGE = "https://shannon.cs.illinois.edu/DenotationGraph/"
IMAGES = "flickr30k-images"
# 31,014 images in Karpathy's file; the shares are those that papers on retrieval state, five captions each.
_COUNTS = (
    Count("train: images", 29_000, sure=False),
    Count("train: captions", 145_000, sure=False),
    Count("val: images", 1_014, sure=False),
    Count("val: captions", 5_070, sure=False),
    Count("test: images", 1_000, sure=False),
    Count("test: captions", 5_000, sure=False),
)
_FILES = (
    Wanted("dataset_flickr30k.json", ORIGIN),
    Wanted(f"{IMAGES}/", f"flickr30k-images.tar.gz; the form on {PAGE} asks for a name and sends the address"),
)
_USAGE = (
    "train_dataloader.dataset.dataset.data_root={out}  dataset.dataset.ann_file=captions_train.json",
    "instances_file: null  regions_file: null  descriptions_file: null   # no boxes here",
)

FLICKR30K = Recipe(
    "flickr30k",
    "Flickr30k",
    PAGE,
    lambda _: Conversion(
        _FILES,
        _COUNTS,
        lambda source, out: convert_karpathy(source, out, "dataset_flickr30k.json", IMAGES),
        _USAGE,
        {IMAGES: IMAGES},
    ),
)
