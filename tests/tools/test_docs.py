"""The sources of the documentation name every page and every public name, each once."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

import bus_toolkit

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_docs", ROOT / "tools" / "docs" / "build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def source(build: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs") / "source"
    build.write_sources(folder)
    return folder


def test_every_public_name_has_one_entry(source: Path) -> None:
    for name in set(dir(bus_toolkit)) - set(bus_toolkit.__all__):
        module = importlib.import_module(f"bus_toolkit.{name}")
        entries = re.findall(
            r"^\.\. (?:auto|py:)(?:class|function|data):: (\S+)", (source / f"api/{name}.rst").read_text(), re.M
        )
        exported = [item for item in getattr(module, "__all__", ()) if not item.startswith("__")]
        assert len(set(entries)) == len(entries)
        assert {f"bus_toolkit.{name}.{item}" for item in exported} <= set(entries)


def test_modules_without_a_list_of_exports_show_what_they_define(build: ModuleType) -> None:
    from bus_toolkit import structures

    names = build.public_names(structures)
    assert {"TextTokens", "VisualTokens", "Decision"} <= set(names) and not {"Tensor", "torch", "dataclass"} & set(
        names
    )


def test_every_page_is_in_the_contents(source: Path) -> None:
    contents = (source / "index.md").read_text().split()
    pages = {path.relative_to(source).with_suffix("").as_posix() for path in source.rglob("*.md")} - {"index"}
    assert pages <= set(contents) and {"README", "tools/BENCHMARKS", "plugins/README", "api/selectors"} <= set(contents)
    assert (source / "tools/docs/kept_patches.png").is_file()


@pytest.mark.slow
def test_the_pages_build_without_a_warning(build: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("furo", reason="install the extra docs: pip install -e '.[docs]'")
    pytest.importorskip("myst_parser")
    assert build.main(["--out", str(tmp_path / "docs")]) == 0
    assert "PatchSelector" in (tmp_path / "docs/api/selectors.html").read_text()
