"""JSON in which every key is there once, and which UTF-8 can hold."""

import json
import os

import pytest

from bus_toolkit.data.annotations.questions import read_questions
from bus_toolkit.data.shards.annotation import parse_annotation
from bus_toolkit.errors import DataError
from bus_toolkit.json_text import dump_json, parse_json


def test_content_is_that_of_json():
    text = '{"a": [1, {"b": null}], "c": "\\u00e9", "d": 1.5}'
    assert parse_json(text) == parse_json(text.encode()) == json.loads(text)


def test_half_a_character_is_written_as_an_escape_and_all_others_as_they_are():
    name = os.fsdecode(b"caf\xe9.png")  # of a file, as ISO 8859-1 writes it
    value = {name: ["é 中文 😀", "half \ud83d"], "number": 1.5}
    text = dump_json(value, separators=(",", ":"))
    assert text == '{"caf\\udce9.png":["é 中文 😀","half \\ud83d"],"number":1.5}'
    assert parse_json(text.encode("utf-8")) == value


def test_a_key_that_is_there_twice_is_refused_at_any_depth():
    with pytest.raises(ValueError, match="the key 'caption' occurs twice in one mapping"):
        parse_json('[{"x": {"caption": "a", "n": 1, "caption": "b"}}]')


def test_two_questions_of_one_id_are_not_one(tmp_path):
    path = tmp_path / "gqa.json"
    path.write_text('{"1": {"imageId": "0", "question": "What?"}, "1": {"imageId": "1", "question": "Who?"}}')
    with pytest.raises(DataError, match="gqa.json is not JSON: the key '1' occurs twice"):
        read_questions(str(path), None, "QuestionAnswers")


def test_a_shard_annotation_has_one_caption():
    with pytest.raises(ValueError, match="the key 'caption' occurs twice"):
        parse_annotation(b'{"caption": "a", "caption": "b"}')
