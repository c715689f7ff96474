"""Results in a notebook: tables and pictures, in which texts of others are text; as data they stay lists and dicts."""

from __future__ import annotations

import json
import pickle
from html.parser import HTMLParser

import numpy as np

from bus_toolkit.inference.explanation import Explanation
from bus_toolkit.inference.results import BothWays, Hits, Pictures, Rows

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e"


class Tags(HTMLParser):
    """The tags and the texts of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes = dict(attrs)

    def handle_data(self, data):
        self.texts.append(data)


def picture(shade: int) -> np.ndarray:
    return np.full((4, 4, 3), shade, np.uint8)


def test_rows_are_a_table_with_a_column_a_key():
    rows = Rows([{"image": "a.png", "box": [1.0, 2.25], "score": 0.12345}, {"image": "b.png", "answer": None}])
    page = Tags(rows._repr_html_())
    assert page.texts == ["image", "box", "score", "answer", "a.png", "1.000, 2.250", "0.123", "b.png"]
    assert page.tags.count("tr") == 3 and page.tags.count("td") == 8


def test_hits_have_a_row_a_query_and_a_column_a_place():
    found = [[{"index": 0, "text": "x", "score": 0.5, "match": None}, {"index": 1, "text": "y", "score": 0.25}], []]
    page = Tags(Hits(found, ["a.png", "b.png"])._repr_html_())
    assert page.texts == ["query", "1.", "2.", "a.png", "x", "score 0.500", "y", "score 0.250", "b.png"]
    both = BothWays({"i2t": Hits(found, ["a.png", "b.png"])})._repr_html_()
    assert Tags(both).texts[0] == "i2t"


def test_texts_of_others_are_text():
    pages = [
        Rows([{HOSTILE: HOSTILE, "classes": [{"class": HOSTILE, HOSTILE: 0.5}]}])._repr_html_(),
        BothWays({HOSTILE: Hits([[{"text": HOSTILE, "score": 1.0}]], [HOSTILE])})._repr_html_(),
        Pictures([Explanation(image='" onload="alert(1)', text=HOSTILE, picture=picture(0))])._repr_html_(),
        Pictures([Explanation(image=HOSTILE, text=HOSTILE)])._repr_html_(),
    ]
    for page in pages:
        assert "script" not in Tags(page).tags and "\x1b" not in page and "\u202e" not in page
        assert "&lt;script&gt;" in page
    assert "onload" not in Tags(pages[2]).attributes


def test_pictures_have_a_description_and_one_of_several_is_shown_once():
    together = [Explanation(image="a", text=text, picture=picture(9)) for text in ("x", "y")]
    page = Pictures([*together, Explanation(image="b", text=None, picture=picture(8))])._repr_html_()
    assert page.count("<img") == 2 and 'alt="Kept patches of b: without a text"' in page
    many = Pictures(Explanation(image="a", text="x", picture=picture(shade)) for shade in range(20))._repr_html_()
    assert many.count("<img") == 12 and "and 8 more pictures" in many


def test_a_long_table_says_how_much_more_there_is():
    assert "and 7 more rows" in Rows([{"image": "a"}] * 57)._repr_html_()


def test_as_data_they_are_plain():
    hits = Hits([[{"index": 0}]], ["a"])
    assert hits == [[{"index": 0}]] and json.dumps(BothWays(i2t=hits)) == '{"i2t": [[{"index": 0}]]}'
    copied = pickle.loads(pickle.dumps(hits))
    assert copied == hits and copied.queries == ["a"]


def test_an_inferencer_gives_them_and_shows_itself(inferencer, pictures):
    found = inferencer.retrieve(pictures[:2], ["a small red circle", "a star"], topk=1)
    assert found["t2i"].queries == ["a small red circle", "a star"] and found["i2t"].queries == pictures[:2]
    for results in (
        *(found, found["i2t"], inferencer.answer(pictures[0], "what"), inferencer.caption(pictures[0])),
        *(inferencer.ground(pictures[0], "a star"), inferencer.classify(pictures[0], ["star", "circle"])),
        inferencer.explain(pictures[0], "a star"),
    ):
        assert len(Tags(results._repr_html_()).tags) > 0
    about = Tags(inferencer._repr_html_()).texts
    assert {"heads", ", ".join(inferencer.model.heads), "32 x 32 px"} <= set(about)
