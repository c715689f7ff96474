"""What the doctor says of installed distributions."""

from __future__ import annotations

import pytest

from bus_toolkit.doctor import Verdict
from bus_toolkit.doctor.versions import check_duplicates, check_versions, installed_versions

REQUIRED = ["torch>=2.6", "onedl-mmengine<0.11,>=0.10.12", 'timm>=1.0.20; extra == "timm"', 'old; python_version < "3"']


def said(installed: dict[str, str]) -> dict[str, Verdict]:
    findings = check_versions(installed, lambda name: REQUIRED)
    return {finding.what: finding.verdict for finding in findings if not finding.what.startswith(("Python", "bus_"))}


def test_what_fits_is_named_with_its_version() -> None:
    assert said({"torch": "2.14.1", "onedl-mmengine": "0.10.12"}) == {
        "torch 2.14.1": Verdict.OK,
        "onedl-mmengine 0.10.12": Verdict.OK,
    }


def test_what_is_missing_or_of_another_version_is_a_fault_with_the_command() -> None:
    assert said({"torch": "2.5.1"}) == {"torch 2.5.1": Verdict.FAULT, "onedl-mmengine is missing": Verdict.FAULT}
    first = next(f for f in check_versions({"torch": "2.5.1"}, lambda name: REQUIRED) if f.what == "torch 2.5.1")
    assert first.advice == "The toolkit needs torch>=2.6. Run: pip install 'torch>=2.6'"


@pytest.mark.parametrize(("version", "verdicts"), [("1.0.20", {}), ("0.9", {"timm 0.9": Verdict.FAULT})])
def test_an_extra_need_not_be_there_but_must_fit(version: str, verdicts: dict[str, Verdict]) -> None:
    rest = {"torch": "2.7.0", "onedl-mmengine": "0.10.13"}
    found = said({**rest, "timm": version})
    assert {what: verdict for what, verdict in found.items() if "timm" in what} == verdicts
    assert not [what for what in said(rest) if "timm" in what]


def test_a_build_of_a_version_counts_as_the_version() -> None:
    assert said({"torch": "2.6.0+cu124", "onedl-mmengine": "0.10.12"})["torch 2.6.0+cu124"] is Verdict.OK


def test_distributions_that_fill_one_folder() -> None:
    assert check_duplicates({"opencv-python": "4", "onedl-mmcv": "2"}) == []
    (cv2,) = check_duplicates({"opencv-python": "4", "opencv-python-headless": "4"})
    assert cv2.verdict is Verdict.WARNING and cv2.advice.startswith(
        "Run: pip uninstall -y opencv-python opencv-python-h"
    )
    (openmmlab,) = check_duplicates({"mmengine": "0.10.7", "onedl-mmengine": "0.10.12"})
    assert openmmlab.verdict is Verdict.FAULT and openmmlab.advice.startswith("Run: pip uninstall -y mmengine && ")


def test_this_environment_is_as_the_toolkit_requires() -> None:
    assert [finding for finding in check_versions() if finding.verdict is Verdict.FAULT] == []
    assert "pyyaml" in installed_versions()
