"""Read the tensors of a checkpoint file, or of a folder in Hugging Face's layout, without running code in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from bus_toolkit.addresses import is_http
from bus_toolkit.errors import CheckpointError
from bus_toolkit.home import expand_home
from bus_toolkit.ops.position_table import GRID_KEY, Grid
from bus_toolkit.weights.downloading import local_copy
from bus_toolkit.weights.files import load_checkpoint_file, tensors_in
from bus_toolkit.weights.folders import read_folder
from bus_toolkit.weights.run_state import read_section
from bus_toolkit.weights.words import check_words

# Under which key training scripts keep the weights: MMEngine, ALBEF/BLIP/mPLUG/MAE/DeiT, DeepSpeed, DINO, and averages.
_WRAPPERS = ("state_dict", "model", "module", "model_state_dict", "teacher", "state_dict_ema", "model_ema", "ema")
# Prefixes that DistributedDataParallel and torch.compile put before every name.
_LAYERS_AROUND = ("module.", "_orig_mod.")
_trusted = False


@dataclass(frozen=True)
class Source:
    """Tensors from elsewhere.

    Attributes:
        path: The file or folder, for messages.
        tensors: The tensors by the names they were saved under.
        config: The contents of the folder's ``config.json``; empty without one.
        grids: Rows and columns of patches that positions are of, by the path of the module that has them.
        metadata: What torch keeps beside the tensors of each module, by its path.
        words: The words of the tokenizer that they were trained with, by their ids; ``None`` if it does not say.
        passed_over: Under which keys the file holds other weights, such as an average; after the key of these.
    """

    path: str
    tensors: Mapping[str, Tensor]
    config: Mapping[str, Any] = field(default_factory=dict)
    grids: Mapping[str, Grid] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    words: Sequence[str] | None = None
    passed_over: Sequence[str] = ()

    def below(self, prefix: str) -> Source:
        """Return the tensors whose names start with ``prefix``, without it."""
        return replace(
            self,
            tensors={n.removeprefix(prefix): t for n, t in self.tensors.items() if n.startswith(prefix)},
            grids=_below(self.grids, prefix),
            metadata=_below(self.metadata, prefix),
        )

    def notes(self) -> list[str]:
        """Return what a user should know of the file, a line each."""
        if not self.passed_over:
            return []
        taken, *others = self.passed_over
        return [f"The file holds weights under {taken}, which were taken, and under {', '.join(others)}."]

    def grid_of(self, name: str) -> Grid | None:
        """Return rows and columns of patches that the tensor ``name`` is of; ``None`` where the source does not say."""
        paths = [path for path in self.grids if not path or name.startswith(f"{path}.")]
        return self.grids[max(paths, key=len)] if paths else None


def trust_checkpoints(trusted: bool) -> None:
    """Set whether this process unpickles everything by default; ``trusted_checkpoints`` of a config."""
    global _trusted
    _trusted = trusted


def read_tensors(path: str | Path, trusted: bool | None = None) -> Source:
    """Return the tensors of a checkpoint file or of a folder in Hugging Face's layout.

    Wrappers are taken off: a dict around the weights (``state_dict``, ``model``, ``module``, ...) and ``module.``
    before every name. A folder may hold one file or shards with an index, safetensors or ``.bin``.

    Args:
        path: A file or folder on this machine, or an http(s) address of a file.
        trusted: Unpickle everything; ``None`` uses the setting of :func:`trust_checkpoints` (at first: no).

    Raises:
        CheckpointError: Nothing is there, it is torn, it holds more than data, or it holds no tensors.
    """
    path = local_path(path)
    trusted = _trusted if trusted is None else trusted
    if path.is_dir():
        tensors, config = read_folder(path, trusted=trusted)
        source = Source(str(path), tensors, config, _grids_of_config(config))
    else:
        source = source_of(load_checkpoint_file(path, trusted=trusted), str(path))
    if not source.tensors:
        raise CheckpointError(f"{path}: holds no tensors by name. Give a file or folder of weights.")
    return source


def source_of(checkpoint: Mapping[str, Any], path: str) -> Source:
    """Return the tensors of a checkpoint in memory, out of the dicts that training scripts put around them.

    Args:
        checkpoint: What a file held.
        path: The file, for messages.
    """
    held: Mapping[str, Any] = checkpoint
    passed_over: list[str] = []
    while around := [key for key in _WRAPPERS if isinstance(held.get(key), Mapping) and held[key]]:
        passed_over = passed_over or (around if len(around) > 1 else [])
        held = held[around[0]]
    tensors, metadata = tensors_in(held), getattr(held, "_metadata", None)
    metadata = dict(metadata) if isinstance(metadata, Mapping) else {}
    for layer in _LAYERS_AROUND:
        if tensors and all(name.startswith(layer) for name in tensors):
            tensors = {name.removeprefix(layer): value for name, value in tensors.items()}
            metadata = _below(metadata, layer)
    return Source(
        path,
        tensors,
        grids=_grids_of_metadata(metadata),
        metadata=_without_grids(metadata),
        words=read_section(checkpoint, "vocabulary"),
        passed_over=passed_over,
    )


def _below(by_path: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return what is said of modules, by their paths without ``prefix``; what holds for all of them is kept."""
    inside = {path: value for path, value in by_path.items() if not path or f"{path}.".startswith(prefix)}
    return {f"{path}.".removeprefix(prefix).rstrip("."): value for path, value in inside.items()}


def _grids_of_metadata(metadata: Mapping[str, Any]) -> dict[str, Grid]:
    """Return the grids that our backbones note in the metadata of their state dicts."""
    grids = {path: as_grid(noted.get(GRID_KEY)) for path, noted in metadata.items() if isinstance(noted, Mapping)}
    return {path: grid for path, grid in grids.items() if grid is not None}


def _without_grids(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {
        path: {key: value for key, value in noted.items() if key != GRID_KEY}
        for path, noted in metadata.items()
        if isinstance(noted, Mapping)
    }


def _grids_of_config(config: Mapping[str, Any]) -> dict[str, Grid]:
    """Return the grid of a folder in Hugging Face's layout, if its configuration gives the sizes."""
    tower = config.get("vision_config", config)
    sizes = [tower.get(key) for key in ("image_size", "patch_size")] if isinstance(tower, Mapping) else []
    image, patch = (as_grid([size, size] if isinstance(size, int) else size) for size in sizes or (None, None))
    if image is None or patch is None:
        return {}
    return {"": (image[0] // patch[0], image[1] // patch[1])}


def as_grid(value: Any) -> Grid | None:
    """Return two whole numbers from 1 as a grid, anything else as ``None``."""
    pair = list(value) if isinstance(value, list | tuple) else []
    return (pair[0], pair[1]) if len(pair) == 2 and all(isinstance(n, int) and n > 0 for n in pair) else None


def local_path(path: str | Path) -> Path:
    """Return the path of a checkpoint on this machine; what lies under an http(s) address is copied first.

    Raises:
        CheckpointError: Another kind of address, or a file that cannot be downloaded.
    """
    if is_http(path):
        return local_copy(str(path))
    if "://" in str(path):
        raise CheckpointError(
            f"{path}: this kind of address is not supported. Allowed: a path, http:// or https://. Download the file "
            "yourself."
        )
    return expand_home(path)


def read_weights(path: str, *, same_words: bool = False, words: Sequence[str] | None = None) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint by name, whether they lie under ``state_dict`` or at the top.

    Args:
        path: A file on this machine, or an http(s) address of one.
        same_words: Refuse one that was trained with other words.
        words: The words of the model's tokenizer; ``None`` compares none.

    Raises:
        CheckpointError: As :func:`load_checkpoint_file`; other words.
    """
    checkpoint = load_checkpoint_file(local_path(path), trusted=_trusted)
    if same_words:
        check_words(path, words, read_section(checkpoint, "vocabulary"))
    return tensors_in(checkpoint.get("state_dict", checkpoint))
