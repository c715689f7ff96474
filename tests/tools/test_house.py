"""What a house needs beside its code: one version everywhere, forms, continuous integration, an image."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path

import pytest
import yaml

import bus_toolkit

ROOT = Path(__file__).parents[2]
PROJECT = (ROOT / "pyproject.toml").read_text()
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml"))


def test_one_version_is_in_all_places() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    newest = re.findall(r"^## \[(\d[^]]*)\] - (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.M)[0]
    assert newest == (bus_toolkit.__version__, str(citation["date-released"]))
    assert citation["version"] == bus_toolkit.__version__
    assert f'\nversion = "{bus_toolkit.__version__}"\n' in PROJECT


def test_the_workflow_runs_the_tests_on_the_oldest_and_the_newest_python() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    supported = re.findall(r"Python :: (3\.\d+)", PROJECT)
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == [supported[0], supported[-1]]
    assert {"run": ".ci/run"} in workflow["jobs"]["test"]["steps"]
    makefile = (ROOT / "Makefile").read_text()
    for job in workflow["jobs"].values():
        for line in (step["run"] for step in job["steps"] if "run" in step):
            assert (ROOT / line).is_file() or re.search(rf"^{line.removeprefix('make ')}:", makefile, re.M), line


def test_the_workflow_may_read_alone_and_pins_what_it_uses() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    assert workflow["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in workflow["jobs"].values())
    used = [step for job in workflow["jobs"].values() for step in job["steps"] if "uses" in step]
    assert used and all(re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", step["uses"]) for step in used)
    assert all(step["with"]["persist-credentials"] is False for step in used if "checkout" in step["uses"])


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_asks_by_fields_of_their_own(path: Path) -> None:
    form = yaml.safe_load(path.read_text())
    ids = [field["id"] for field in form["body"]]
    assert form["name"] and form["description"] and len(set(ids)) == len(ids)
    assert any(field.get("validations", {}).get("required") for field in form["body"])


def test_a_report_of_a_fault_needs_the_doctors_output() -> None:
    form = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / "bug.yml").read_text())
    (field,) = (field for field in form["body"] if field["id"] == "doctor")
    assert "bus-toolkit doctor" in field["attributes"]["label"] and field["validations"]["required"]


def test_links_of_the_contributors_page_exist() -> None:
    page = ROOT / ".github" / "CONTRIBUTING.md"
    links = re.findall(r"\]\((?!https?:)([^)#]*)[^)]*\)", page.read_text())
    assert links and [link for link in links if not (page.parent / link).exists()] == []
    targets = set(re.findall(r"make ([a-z]+)", page.read_text()))
    assert targets <= set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.M))


def test_the_image_gets_what_its_lines_copy_and_starts_the_demo_without_root() -> None:
    lines = (ROOT / "tools" / "docker" / "Dockerfile").read_text().splitlines()
    copied = {name for line in lines if line.startswith("COPY") for name in line.split()[2:-1]} - {"."}
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in ignore if line.startswith("!")}
    # What `make .venv/.installed` needs by pyproject.toml, and what the demo reads.
    assert {"LICENSE", "Makefile", "README.md", "pyproject.toml"} == copied
    assert allowed >= copied | {"bus_toolkit", "registry_configs"} and all((ROOT / name).exists() for name in allowed)
    assert any(fnmatch.fnmatch("bus_toolkit/__pycache__", line) for line in ignore)
    users = [line.split()[1] for line in lines if line.startswith("USER")]
    assert users and users[-1] not in ("0", "root") and lines[-1] == 'CMD ["make", "demo"]'
