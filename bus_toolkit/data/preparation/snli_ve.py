"""SNLI-VE (Xie et al., arXiv 1901.06706): does an image of Flickr30k entail a sentence?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from bus_toolkit.blank_texts import is_blank
from bus_toolkit.data.preparation.check_files import check_images
from bus_toolkit.data.preparation.counts import Count
from bus_toolkit.data.preparation.flickr30k import IMAGES
from bus_toolkit.data.preparation.flickr30k import PAGE as FLICKR_PAGE
from bus_toolkit.data.preparation.recipe import Conversion, Download, Recipe, Wanted

PAGE = "https://github.com/necla-ml/SNLI-VE"
_SPLITS = ("train", "dev", "test")
_LABELS = {"entailment", "neutral", "contradiction", "-"}
# As data set cards of copies of these files state them.
_COUNTS = tuple(
    Count(f"{split}: pairs", number, sure=False)
    for split, number in (("train", 529_527), ("dev", 17_858), ("test", 17_901))
)
_FILES = (
    *(Wanted(f"snli_ve_{split}.jsonl", f"the links of {PAGE}") for split in _SPLITS),
    Wanted(f"{IMAGES}/", f"flickr30k-images.tar.gz of {FLICKR_PAGE}"),
)
_USAGE = ("dataset: {{type: Statements, ann_file: {out}/snli_ve_train.jsonl, img_dir: {out}/flickr30k-images}}",)


def _convert(source: Download, out: Path) -> Mapping[str, int]:
    """Check the lines; they are read as they are."""
    counts: dict[str, int] = {}
    for split in _SPLITS:
        name = f"snli_ve_{split}.jsonl"
        entries = source.json_lines(name)
        try:
            images = {f"{entry['Flickr30K_ID']}.jpg" for entry in entries}
            times = Counter(entry["pairID"] for entry in entries)
            unknown = {entry["gold_label"] for entry in entries} - _LABELS
            if unknown or any(is_blank(entry["sentence2"]) for entry in entries):
                raise ValueError(f"labels {sorted(unknown)}" if unknown else "a sentence is empty")
            if len(times) < len(entries):
                raise ValueError(f"pair {times.most_common(1)[0][0]} occurs twice")
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise source.malformed(name, error) from error
        check_images(source, IMAGES, sorted(images))
        counts |= {f"{split}: pairs": len(entries), f"{split}: images": len(images)}
    return counts


SNLI_VE = Recipe(
    "snli_ve",
    "SNLI-VE",
    PAGE,
    lambda _: Conversion(
        _FILES,
        _COUNTS,
        _convert,
        _USAGE,
        {IMAGES: IMAGES} | {f"snli_ve_{split}.jsonl": f"snli_ve_{split}.jsonl" for split in _SPLITS},
    ),
)
