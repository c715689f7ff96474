"""NLVR, the original corpus (Suhr et al., ACL 2017): synthetic images, one sentence, true or false."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from bus_toolkit.data.preparation.counts import Count
from bus_toolkit.data.preparation.recipe import Conversion, Download, Recipe, Wanted
from bus_toolkit.errors import DataError
from bus_toolkit.json_text import dump_json

PAGE = "https://github.com/lil-lab/nlvr"
_SPLITS = ("train", "dev", "test", "hidden")
_COUNTS = (
    # Counted by us in the repository at 1892484.
    Count("dev: examples", 989),
    Count("test: examples", 990),
    Count("hidden: examples", 985),
    Count("train: examples", 12_409, sure=False),
)
_USAGE = ("train_dataloader.dataset.data_root={out}   # as in registry_configs/_base_/data_nlvr.yaml",)


def _places(split: str) -> tuple[str, ...]:
    """Return where a split's annotations may be: as the repository has them, or flat."""
    return f"{split}/{split}.json", f"{split}.json"


_FILES = tuple(Wanted(place, f"folder nlvr/ of {PAGE}", optional=True) for split in _SPLITS for place in _places(split))


def _convert(source: Download, out: Path) -> dict[str, int]:
    """Write ``<split>.json`` and links ``images/<split>/<split>-<identifier>-<k>.png`` of each split."""
    counts: dict[str, int] = {}
    for split in _SPLITS:
        name = next((place for place in _places(split) if source.has(place)), None)
        if name is None:
            continue
        examples = source.json_lines(name)
        try:
            identifiers = [str(example["identifier"]) for example in examples]
            if not all(isinstance(example["sentence"], str) for example in examples):
                raise TypeError("a sentence is no text")
        except (KeyError, TypeError) as error:
            raise source.malformed(name, error) from error
        repeats = [identifier for identifier, times in Counter(identifiers).items() if times > 1]
        if repeats:
            raise source.malformed(name, f"identifier {repeats[0]} occurs twice")
        lines = (dump_json(example) + "\n" for example in examples)
        (out / f"{split}.json").write_text("".join(lines), encoding="utf-8")
        counts[f"{split}: examples"] = len(examples)
        counts |= _link_images(source, out, split, identifiers)
    if not counts:
        raise DataError(
            f"nlvr: {source.root} has none of {', '.join(_places('dev'))} and so on. Get the folder nlvr/ of {PAGE}, "
            "and give it."
        )
    return counts


def _link_images(source: Download, out: Path, split: str, identifiers: list[str]) -> dict[str, int]:
    if source.skip_images:
        return {}
    files = {path.name: path for path in _images(source, split)}
    missing = [i for i in identifiers if f"{split}-{i}-0.png" not in files]
    if missing:
        raise DataError(
            f"nlvr: {len(missing)} of {len(identifiers)} examples of {split} have no image, e.g. "
            f"{split}-{missing[0]}-0.png. Get the whole folder nlvr/ of {PAGE}, or pass --skip-images."
        )
    folder = out / "images" / split
    folder.mkdir(parents=True)
    for name, path in files.items():
        (folder / name).symlink_to(path.resolve())
    return {f"{split}: images": len(files)}


def _images(source: Download, split: str) -> Iterator[Path]:
    """Yield the images of a split: ``<split>/images/<number>/`` in the repository, or ``images/<split>/``."""
    for folder in (f"{split}/images", f"images/{split}"):
        yield from sorted(source.path(folder).rglob(f"{split}-*.png"))


NLVR = Recipe("nlvr", "NLVR", PAGE, lambda _: Conversion(_FILES, _COUNTS, _convert, _USAGE))
