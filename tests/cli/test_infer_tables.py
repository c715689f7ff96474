"""Results as tables: nothing is cut, nothing is read as markup."""

from __future__ import annotations

import pytest
from rich.console import Console

from bus_toolkit.cli.infer_tables import MOST_SHOWN, tables


def shown(*args):
    console = Console(width=150, highlight=False)
    with console.capture() as capture:
        for table in tables(*args):
            console.print(table)
    return capture.get()


@pytest.mark.parametrize(
    ("command", "entry", "words"),
    [
        ("answer", {"image": "a.png", "question": "what [red]?", "answer": "yes"}, ["a.png", "what [red]?", "yes"]),
        ("answer", {"answer": "yes", "score": 0.98252844}, ["yes", "  0.983 "]),
        ("caption", {"image": "a.png", "caption": "a dog"}, ["a.png", "a dog"]),
        (
            "ground",
            {"image": "a.png", "expression": "the dog", "box": [1.0, 2.25, 30.0, 40.0], "score": 0.5},
            ["the dog", "1.0, 2.2, 30.0, 40.0", "0.500"],
        ),
        (
            "explain",
            {
                "image": "a.png",
                "text": None,
                "grid": [1, 3],
                "kept": [[True, False, True]],
                "tokens": {"patches": 4, "block 2": 3},
                "picture": "p.png",
            },
            ["(no text)", "2/3", "patches 4, block 2 3", "p.png"],
        ),
    ],
)
def test_an_entry_of_each_command(command, entry, words):
    text = shown(command, [entry], ["a.png"], ["t"])
    assert all(word in text for word in words), text


def test_both_directions_of_a_search_with_and_without_matching():
    hit = {"index": 1, "score": -0.25}
    plain = {"i2t": [[hit | {"text": "a cat"}]], "t2i": [[hit | {"image": "b.png"}]]}
    text = shown("retrieve", plain, ["a.png"], ["a dog"])
    for word in ("image to text", "text to image", "a.png", "a dog", "a cat", "b.png", "-0.250"):
        assert word in text
    assert "match" not in text
    ranked = {"i2t": [[hit | {"text": "a cat", "match": 0.75}, hit | {"text": "a cow", "match": None}]]}
    text = shown("retrieve", ranked, ["a.png"], ["a dog"])
    assert "match" in text and "0.750" in text and " - " in text and "text to image" not in text


def test_a_search_shows_no_direction_without_anything_to_rank():
    hit = {"index": 0, "score": 0.5}
    results = {"i2t": [[hit | {"text": "a dog"}]] * 2, "t2i": [[hit | {"image": "a.png"}]]}
    assert "image to text" not in shown("retrieve", results, ["a.png", "b.png"], ["a dog"])
    assert "image to text" in shown("retrieve", {"i2t": results["i2t"]}, ["a.png", "b.png"], ["a dog"])  # asked for
    results = {"i2t": [[hit | {"text": "a dog"}]], "t2i": [[hit | {"image": "a.png"}]] * 2}
    assert "text to image" not in shown("retrieve", results, ["a.png"], ["a dog", "a cat"])


def test_a_long_table_says_how_much_it_leaves_out():
    entries = [{"image": f"{number}.png", "caption": "a dog"} for number in range(MOST_SHOWN + 3)]
    text = shown("caption", entries, [], [])
    assert "... and 3 more rows; --out writes all." in text and f"{MOST_SHOWN}.png" not in text
    assert "more rows" not in shown("caption", entries[:MOST_SHOWN], [], [])
