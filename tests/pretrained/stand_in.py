"""A stand-in of the interface of huggingface_hub: repositories are folders, and each call must fit the real one."""

from __future__ import annotations

import fnmatch
import inspect
import shutil
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub


class TransportError(Exception):
    """As httpx raises them, of no common class with those of requests."""


class StandIn:
    """``snapshot_download`` and ``HfApi`` over folders below ``root``; a version is named by a commit, from ``c1``."""

    def __init__(self, root: Path) -> None:
        self.root, self.calls = root, []
        self.HfApi = lambda **words: _Api(self, self._checked(huggingface_hub.HfApi.__init__, words, bound=True))

    def snapshot_download(self, **words):
        self._checked(huggingface_hub.snapshot_download, words)
        self.calls.append(words)
        versions = sorted((self.root / words["repo_id"]).glob("c*"))
        names = {version.name: version for version in versions} | ({"main": versions[-1]} if versions else {})
        source = names.get(words["revision"] or "main")
        if source is None:
            raise huggingface_hub.errors.LocalEntryNotFoundError("Cannot find it\x1b[31m.\nA second line")
        target = self.root / "cache" / words["repo_id"] / source.name
        _copy(source, target, words["allow_patterns"])
        return str(target)

    def _checked(self, function, words, bound=False):
        inspect.signature(function).bind(*([None] if bound else []), **words)
        return words


class _Api:
    def __init__(self, hub, words) -> None:
        self.hub = hub

    def create_repo(self, **words):
        self.hub._checked(huggingface_hub.HfApi.create_repo, words, bound=True)
        self.hub.calls.append(words)
        if words["repo_id"].startswith("other/"):
            raise TransportError("403 Forbidden: you may not create it")

    def upload_folder(self, **words):
        self.hub._checked(huggingface_hub.HfApi.upload_folder, words, bound=True)
        folder = self.hub.root / words["repo_id"]
        commit = f"c{len(list(folder.glob('c*'))) + 1}"
        _copy(words["folder_path"], folder / commit, words["allow_patterns"])
        return SimpleNamespace(oid=commit)


def _copy(source, target, patterns):
    for path in source.rglob("*"):
        name = path.relative_to(source).as_posix()
        if path.is_file() and any(fnmatch.fnmatch(name, pattern) for pattern in patterns):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target / name)
