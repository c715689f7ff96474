"""What a question may hold."""

import json

import pytest

from bus_toolkit.app import Question, parse_question
from bus_toolkit.app.refusals import RequestRefused
from tests.app.asking import body


def test_a_line_of_json_and_the_bytes_of_an_image():
    asked = parse_question(body(b"one\ntwo", text=" a  red\nball ", keep_ratio=0.5, captions=["a", " ", "\u200b", "b"]))
    assert asked == Question(b"one\ntwo", None, "a red ball", 0.5, ("a", "b"))
    assert parse_question(body(gallery=2)) == Question(b"", 2)


def test_control_characters_of_a_text_are_spaces():
    assert parse_question(body(b"x", text="red\x00\x1b[31mball\x9b\u202e")).text == "red [31mball \u202e"


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (b"", "got no JSON"),
        (b"\xff\xfe\n", "got no JSON"),
        (b"[" * 100_000 + b"\n", "got no JSON"),
        (b'{"text": "a", "text": "b"}\nx', "got no JSON"),
        (b"[]\nx", "must be a mapping"),
        (body(b"x", path="/etc/passwd"), "keys of captions, gallery, keep_ratio, text"),
        (body(text="a"), "needs one image"),
        (body(b"x", gallery=0), "needs one image"),
        (body(gallery="../../etc/passwd"), "gallery must be the number of an image, got str"),
        (body(gallery=-1), "gallery must be"),
        (body(gallery=True), "gallery must be"),
        (body(b"x", keep_ratio=0), r"keep_ratio must be a share in \(0, 1\]"),
        (b'{"keep_ratio": NaN}\nx', "keep_ratio must be"),
        (b'{"keep_ratio": 1e999}\nx', "keep_ratio must be"),
        (body(b"x", text=3), "text must be a text of at most 2,000 characters, got int"),
        (body(b"x", text="a" * 2001), "text must be .*got 2001. Shorten it"),
        (body(b"x", text="\ud83d"), "half a character"),
        (body(b"x", captions="a"), "captions must be a list of at most 200, got str"),
        (body(b"x", captions=["a"] * 201), "captions must be a list of at most 200"),
        (body(b"x", captions=["a", None]), r"captions\[1\] must be a text"),
        (json.dumps({"text": "a" * (2 << 20)}).encode(), "the first line must have at most"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_another_question_is_refused(sent, why):
    with pytest.raises(RequestRefused, match=f"^The question: .*{why}"):
        parse_question(sent)
