"""The page of families: both majors, all families and checks, no failure, and what the command writes."""

from __future__ import annotations

import re

import pytest

from tests.huggingface import table
from tests.huggingface.contract import ANSWERS, CHECKS, MORE
from tests.huggingface.contract.check import Measured
from tests.huggingface.tiny import FAMILIES


@pytest.mark.parametrize("major", ["4", "5"])
def test_the_page_has_every_family_and_check(major: str) -> None:
    own = table.sections(table.PAGE.read_text())[major]
    heads = re.findall(r"^\| family \| (.+) \|$", own, re.MULTILINE)
    assert [head.split(" | ") for head in heads] == [[one.title for one in checks] for checks in (ANSWERS, MORE)]
    found = re.findall(r"^\| ([A-Z][\w .-]+) \| (.+) \|$", own, re.MULTILINE)
    assert len(found) == 2 * len(FAMILIES) and found[: len(FAMILIES)] != found[len(FAMILIES) :]
    assert "**" not in own, "nothing failed"


def test_the_page_says_what_the_checks_measure() -> None:
    assert table.PAGE.read_text().startswith(table.legend())


def test_a_run_replaces_the_section_of_its_major() -> None:
    row = {check.title: Measured(0.0, "0") for check in CHECKS}
    old = "# Head\n\n## transformers 3.0.0\n\nthree\n\n## transformers 4.0.0\n\nfour\n"
    own = table.section({"LLaVA": {**row, CHECKS[0].title: Measured(1.0, "**1**")}})
    number = table.transformers.__version__.split(".")[0]
    written = table.sections(table.page(old, own))
    assert written["3"] == "## transformers 3.0.0\n\nthree\n\n"
    assert written[number].rstrip() == own.rstrip() and "| LLaVA | **1** | 0 |" in own
    assert table.page(table.page(old, own), own) == table.page(old, own)
