"""Saved models on Hugging Face's hub: ``hf-hub:OWNER/NAME``, with huggingface_hub, imported when it is asked for.

Only names with that prefix (open_clip and timm have the same) go over the network: a misspelt path is never looked up,
and nobody can put a model where one was meant.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from bus_toolkit.errors import BusError, CheckpointError, ConfigError
from bus_toolkit.home import expand_home
from bus_toolkit.pretrained.layout import CARD, INDEX, is_saved_model, read_index, verified_index
from bus_toolkit.safe_text import one_line

PREFIX = "hf-hub:"
_WORD = r"[A-Za-z0-9][\w.-]{0,95}"
_REPOSITORY = re.compile(rf"{_WORD}/{_WORD}")
_FORM = f"{PREFIX}OWNER/NAME, with @REVISION (a branch, tag or commit) for another than the newest"


def is_hub_name(source: object) -> bool:
    """Return whether a source names a model on a hub."""
    return isinstance(source, str) and source.startswith(PREFIX)


def hub_hint(source: object) -> str:
    """Return a sentence for a name that may have been meant for a hub; empty for others.

    A name below a folder that is there, such as ``work_dirs/ITS_NAME``, is a path.
    """
    is_like = isinstance(source, str) and _REPOSITORY.fullmatch(source) and not expand_home(source).parent.is_dir()
    return f" A model of Hugging Face's hub is named {PREFIX}{source}." if is_like else ""


def downloaded(name: str) -> Path:
    """Return the folder of a saved model of the hub on this machine; files that are there already are not fetched.

    Its index comes first, then the files that it names and no others.

    Args:
        name: ``hf-hub:OWNER/NAME`` or ``hf-hub:OWNER/NAME@REVISION``.

    Raises:
        ConfigError: Another form, or huggingface_hub is not installed.
        CheckpointError: It cannot be fetched, or is no saved model.
    """
    repository, at, revision = name.removeprefix(PREFIX).partition("@")
    if not _REPOSITORY.fullmatch(repository) or (at and not revision):
        raise ConfigError(f"{one_line(name)[:200]}: no model of a hub has this name. Write {_FORM}.")
    hub = _library()
    wanted = {"repo_id": repository, "revision": revision or None, "library_name": "bus_toolkit"}
    try:
        folder = Path(hub.snapshot_download(**wanted, allow_patterns=[INDEX]))
        if not is_saved_model(folder):
            raise CheckpointError(
                f"{name}: holds no {INDEX}, so it is no model that save_pretrained has written. Name one that is; "
                "weights of other libraries are loaded by `pretrained` of a config."
            )
        files = [INDEX, CARD, *read_index(folder).files]
        return Path(hub.snapshot_download(**wanted, allow_patterns=files))
    except BusError:
        raise
    except Exception as error:  # errors of requests, of httpx and its own, as its release has them
        raise CheckpointError(
            f"{name}: cannot be fetched ({_first_line(error)}). Check the name, the connection, and `hf auth login` "
            "for one that is private."
        ) from error


def push_to_hub(folder: str | Path, repository: str, *, private: bool = False) -> str:
    """Put a folder that ``save_pretrained`` has written on the hub; return the name that loads this very version.

    The repository is made unless it is there. Who you are, ``hf auth login`` of huggingface_hub or ``HF_TOKEN`` says.

    Args:
        folder: The folder. Its files are compared with their checksums first; nothing else in it is sent.
        repository: ``OWNER/NAME``.
        private: Whether a new repository is seen by its owner alone.

    Raises:
        ConfigError: Another form of the name, or huggingface_hub is not installed.
        CheckpointError: No saved model, a changed one, or the hub refuses it.
    """
    repository = repository.removeprefix(PREFIX)
    if not _REPOSITORY.fullmatch(repository):
        raise ConfigError(f"push_to_hub: must be OWNER/NAME, got {one_line(repository)[:200]!r}. Correct the name.")
    place = expand_home(folder)
    if not is_saved_model(place):
        raise CheckpointError(
            f"push_to_hub: {place} is no saved model, it has no {INDEX}. Write one first: "
            f"bus-toolkit save-pretrained RUN --out {place}"
        )
    files = [INDEX, CARD, *verified_index(place).files]
    api = _library().HfApi(library_name="bus_toolkit")
    try:
        api.create_repo(repo_id=repository, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repository, folder_path=place, allow_patterns=files, commit_message="Save a model of bus_toolkit"
        )
    except Exception as error:  # as above
        raise CheckpointError(
            f"push_to_hub: {repository}: the hub refuses it ({_first_line(error)}). Check the name, the connection, "
            "and that `hf auth login` has a token that may write."
        ) from error
    return f"{PREFIX}{repository}@{commit.oid}"


def _library() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise ConfigError(
            f"{PREFIX}: needs huggingface_hub, which is not installed. Run: pip install 'bus_toolkit[hub]'"
        ) from error
    return huggingface_hub


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return one_line(lines[0])[:300].rstrip(".") if lines else type(error).__name__
