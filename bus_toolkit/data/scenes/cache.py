"""The folder that scenes are kept in: written once, checked against its manifest, never half there."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from pathlib import Path
from typing import Any, BinaryIO

from bus_toolkit.data.scenes.chunks import usable_cpus
from bus_toolkit.data.scenes.families import family_of
from bus_toolkit.data.scenes.generator_settings import GeneratorSettings
from bus_toolkit.data.scenes.pictures import draw_to_files
from bus_toolkit.data.scenes.streams import SPLITS
from bus_toolkit.data.whole_folder import whole_folder
from bus_toolkit.errors import DataError
from bus_toolkit.folder_locks import alone_in, hold, is_in_use, let_go
from bus_toolkit.home import expand_home

_log = logging.getLogger(__name__)

MANIFEST = "manifest.json"


def prepare_scenes(
    data_root: str | Path, split: str, num_images: int, settings: GeneratorSettings, workers: int | None = None
) -> Path:
    """Return the folder of these scenes; write it if it is missing, damaged or of other settings.

    Files are written beside it and renamed at the end, so that the folder is whole or not there. Of several processes
    one writes and the others wait. This process reads the folder from now on, so that no other one replaces it.

    Args:
        data_root: Folder of all splits.
        split: ``train``, ``val`` or ``test``.
        num_images: Number of pictures, at least 1.
        settings: What the scenes contain; they name the family by their class.
        workers: Processes that draw; ``None`` for one a processor.

    Raises:
        DataError: An unknown split, no images, a folder that is not ours, that cannot be written, or that holds scenes
            of other settings, which another process reads.
    """
    if split not in SPLITS:
        raise DataError(f"scenes.split: no split named {split!r}. It is one of {', '.join(SPLITS)}.")
    if num_images < 1:
        raise DataError(f"scenes.num_images: must be at least 1, got {num_images}.")
    folder = scene_folder(data_root, split, num_images)
    wanted = {
        **family_of(settings).identity,
        "split": split,
        "num_images": num_images,
        "settings": settings.to_dict(),
    }
    text = json.dumps(wanted, sort_keys=True)
    if _is_known(folder, text):
        return folder
    try:
        with alone_in(folder.parent):
            if not _is_whole(folder, text):
                _forget(folder)
                _refuse_if_read(folder)
                _write(folder, wanted, settings, usable_cpus() if workers is None else workers)
            _remember(folder, text)
    except OSError as error:
        raise DataError(
            f"scenes: cannot write {folder}: {error}. Point data_root to a folder with room that you may write to."
        ) from error
    return folder


def scene_folder(data_root: str | Path, split: str, num_images: int) -> Path:
    """Return the folder of the scenes: ``<data_root>/<split>_<num_images>``, so runs of other sizes keep theirs."""
    return expand_home(data_root) / f"{split}_{num_images}"


# Folder to the settings of its complete scenes and the manifest that this process holds: training, validation and test
# ask several times in one process. One entry a folder, so that scenes of other settings, written there later, are not
# taken for the earlier ones.
_checked: dict[Path, tuple[str, BinaryIO]] = {}


def _is_known(folder: Path, wanted: str) -> bool:
    known = _checked.get(folder.resolve())
    return known is not None and known[0] == wanted and (folder / MANIFEST).is_file()


def _remember(folder: Path, wanted: str) -> None:
    _forget(folder)
    _checked[folder.resolve()] = wanted, hold(folder / MANIFEST)


def _forget(folder: Path) -> None:
    if (known := _checked.pop(folder.resolve(), None)) is not None:
        let_go(known[1])


def _refuse_if_read(folder: Path) -> None:
    """Refuse to replace scenes that another process reads: its pictures would no longer fit its annotations."""
    if is_in_use(folder / MANIFEST):
        raise DataError(
            f"scenes: {folder} holds scenes of other settings, and another process reads them now. Give these settings "
            "a data_root of their own, or wait for its end."
        )


def _is_whole(folder: Path, wanted: str) -> bool:
    if not folder.exists():
        return False
    manifest = _read_manifest(folder)
    if json.dumps({k: v for k, v in manifest.items() if k != "files"}, sort_keys=True) != wanted:
        _log.info("%s holds scenes of other settings or another version; writing it again", folder)
        return False
    damaged = [name for name, digest in manifest["files"].items() if _sha256(folder / name) != digest]
    if damaged:
        _log.warning("%s: %d files are damaged or missing, e.g. %s; writing it again", folder, len(damaged), damaged[0])
        return False
    return True


def _read_manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return {**manifest, "files": dict(manifest["files"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"scenes: {folder} exists but has no readable {MANIFEST}, so it was not written by the scene generator. "
            "Choose another data_root, or remove the folder."
        ) from error


def _write(folder: Path, manifest: dict[str, Any], settings: GeneratorSettings, workers: int) -> None:
    start = time.monotonic()
    split, count, family = manifest["split"], manifest["num_images"], family_of(settings)
    _log.info("writing %d %s scenes to %s", count, split, folder)
    with whole_folder(folder) as scratch:
        (scratch / "images").mkdir()
        planned = family.plan(settings, split, count, workers)
        names = family.write(scratch, split, planned, settings)
        pictures = draw_to_files(
            planned, family.draw, settings, split=split, folder=scratch / "images", workers=workers
        )
        files = {name: _sha256(scratch / name) for name in names}
        files.update((f"images/{name}", digest) for name, digest in pictures.items())
        (scratch / MANIFEST).write_text(json.dumps({**manifest, "files": files}, indent=1), encoding="utf-8")
    _log.info("wrote %d %s scenes in %.1f s", count, split, time.monotonic() - start)


def _sha256(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
