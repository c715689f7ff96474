"""What is between the markers of a study is replaced, the rest of a page stays, wrong markers are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from bus_toolkit.errors import DataError
from bus_toolkit.study.report.markers import filled, shown_on

SECTION = "<!-- study: small -->\nold\n<!-- end of study: small -->\n"
TABLE = "<!-- study: small: size and number -->\n<!-- end of study: small: size and number -->\n"
BLOCKS = {"": "THE SECTION", "size and number": "A TABLE"}


def test_each_place_is_filled_and_what_is_outside_stays(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    other = "<!-- study: smaller -->\nkept\n<!-- end of study: smaller -->\n`<!-- study: small -->` in a line is none\n"
    page.write_text(f"# Head\n\n{TABLE}between\n{other}{SECTION}after\n")
    assert shown_on(page, "small", BLOCKS) == ["size and number", ""]
    once = filled(page, "small", BLOCKS)
    assert once.startswith("# Head\n\n<!-- study: small: size and number -->\n\nA TABLE\n\n<!-- end of")
    assert f"between\n{other}<!-- study: small -->\n\nTHE SECTION\n\n<!-- end" in once and once.endswith("after\n")
    page.write_text(once)
    assert filled(page, "small", BLOCKS) == once


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing\n", r"page.md: needs the lines <!-- study: small --> and <!-- end of study: small -->, once each"),
        (SECTION * 2, r"page.md, line 4: must be one of <!-- study: small --> and .* got <!-- study: small -->"),
        ("\n<!-- end of study: small -->\n", "page.md, line 2: must be one of .* got <!-- end of study: small -->"),
        (SECTION.replace("old\n", TABLE), "page.md, line 2: must be one of <!-- study: small: size and number --> and"),
        ("<!-- study: small -->\n", "page.md: needs the lines <!-- study: small --> and"),
        (
            TABLE.replace("size", "sighs"),
            "line 1: must be the place of a table of the study .* 'small: sighs and .* It",
        ),
    ],
)
def test_places_that_do_not_fit_are_named(tmp_path: Path, text: str, message: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(DataError, match=message):
        filled(page, "small", BLOCKS)
