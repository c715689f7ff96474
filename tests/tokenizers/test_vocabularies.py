import json

import pytest

from bus_toolkit.errors import DataError
from bus_toolkit.tokenizers.vocabularies import count_words, read_vocabulary

RECORDS = [{"caption": "b b"}, {"caption": "a"}]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("coco.json", json.dumps({"images": [], "annotations": RECORDS})),
        ("list.json", json.dumps(RECORDS)),
        ("strings.json", json.dumps(["b b", "a"])),
        ("lines.json", "\n".join(json.dumps({"sentence": r["caption"]}) for r in RECORDS)),
        ("one.jsonl", json.dumps({"text": "b a b"})),
        ("plain.txt", "b b\na\n"),
    ],
)
def test_reads_every_form_of_captions(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    assert count_words(tmp_path / name, str.split, 1) == ["b", "a"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", '{"annotations": [{"id": 1}]}', "records without a caption"),
        ("a.json", "{not json", "neither JSON nor JSON lines"),
        ("a.txt", "", "its captions hold no word, or there is none. Write a caption for each image."),
        ("b.txt", None, "cannot be read: No such file"),
    ],
)
def test_says_what_is_wrong_with_a_corpus(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        count_words(tmp_path / name, str.split, 1)


def test_refuses_a_word_twice(tmp_path):
    (tmp_path / "vocab.txt").write_text("cat\ndog\ncat\n")
    with pytest.raises(DataError, match="has 'cat' twice"):
        read_vocabulary(tmp_path / "vocab.txt")


def test_refuses_bytes_that_are_no_text(tmp_path):
    (tmp_path / "vocab.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="vocab.txt, line 1: is not UTF-8"):
        read_vocabulary(tmp_path / "vocab.txt")
