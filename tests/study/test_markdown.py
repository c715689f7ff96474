"""What all tables of a study share."""

from __future__ import annotations

from bus_toolkit.study.markdown import escape_markdown, markdown_table, spread_text


def test_markdown_shows_names_as_they_are() -> None:
    assert escape_markdown("a|b <img> `x` *y*\n[z](w)") == r"a\|b \<img\> \`x\` \*y\* \[z\](w)"
    assert escape_markdown("97.0 [96.5, 97.4]") == "97.0 [96.5, 97.4]"
    assert escape_markdown("[1](x) [2][3]") == r"[1\](x) [2\][3]"


def test_columns_are_straight_if_asked() -> None:
    rows = [["full", "9"], ["a", "10.0"]]
    assert markdown_table(["arm", "%"], rows) == "| arm | % |\n| --- | --- |\n| full | 9 |\n| a | 10.0 |"
    assert markdown_table(["arm", "%"], rows, aligned=True).splitlines() == [
        "| arm  | %    |",
        "| ---  | ---  |",
        "| full | 9    |",
        "| a    | 10.0 |",
    ]


def test_a_spread_is_shown_where_it_can_be_seen() -> None:
    assert spread_text([1.0, 2.0, 6.0], 1) == "3.0 (1.0 to 6.0)"
    assert spread_text([1.01, 1.02], 1) == "1.0" and spread_text([], 1) == ""
