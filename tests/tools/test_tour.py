"""The notebook of the tour: what it shows was made by its cells, they run, and it names no machine."""

from __future__ import annotations

import importlib.util
import json
import os
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "tools" / "docs" / "tour.ipynb"


def code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def kinds(cell: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return what each output of a cell can be shown as; words on stderr depend on the versions of libraries."""
    outputs = [output for output in cell["outputs"] if output.get("name") != "stderr"]
    return [tuple(sorted(output.get("data", {"text/plain": ""}))) for output in outputs]


def test_it_is_small_and_shows_what_its_cells_gave() -> None:
    page = NOTEBOOK.read_text(encoding="utf-8")
    assert len(page) < 1_000_000
    cells = code_cells(json.loads(page))
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
    shown = "".join("".join(output.get("data", {}).get("text/html", "")) for output in outputs)
    assert shown.count("<table>") == 2 and shown.count('src="data:image/png') == 2
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 1


def test_it_names_no_machine() -> None:
    shown = json.dumps([cell["outputs"] for cell in code_cells(json.loads(NOTEBOOK.read_text(encoding="utf-8")))])
    shown = re.sub(r"data:image/png;base64,[\w+/=]*|\"image/png\": \"[\w+/=\\]*\"", "", shown)
    assert re.findall(r"(?:/home/|/tmp/|/root/|/Users/|\.venv|site-packages)[^\s\"']*", shown) == []


def test_links_of_its_texts_exist() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    texts = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    links = re.findall(r"\]\((?!https?:)([^)#]*)[^)]*\)", texts)
    assert links and [link for link in links if not (NOTEBOOK.parent / link).exists()] == []


@pytest.fixture(scope="module")
def runner() -> ModuleType:
    for name in ("nbclient", "ipykernel"):
        pytest.importorskip(name, reason="install the extra notebook: pip install -e '.[notebook]'")
    path = NOTEBOOK.with_name("run_notebook.py")
    spec = importlib.util.spec_from_file_location("run_notebook", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_its_cells_run_and_show_the_same_kinds_of_things(runner: ModuleType, tmp_path: Path) -> None:
    import nbformat

    kept = code_cells(json.loads(NOTEBOOK.read_text(encoding="utf-8")))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    # Two epochs of two steps: what the model has learned is not compared.
    environ = {"BUS_TOOLKIT_EPOCHS": "2", "TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    before = os.listdir(NOTEBOOK.parent)
    done = runner.run(notebook, tmp_path, **environ)
    for cell, expected in zip(code_cells(done), kept, strict=True):
        assert kinds(cell) == kinds(expected), "".join(expected["source"])
    assert os.listdir(NOTEBOOK.parent) == before
    (said,) = (output["text"] for output in code_cells(done)[-1]["outputs"])
    assert said == "".join(kept[-1]["outputs"][0]["text"]), "MACs do not depend on the weights"
