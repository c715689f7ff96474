import json

import numpy as np
import pytest

from bus_toolkit.data.tables import json_stream
from bus_toolkit.data.tables.json_stream import begins_with, list_entries, list_sections, mapping_entries
from bus_toolkit.errors import DataError
from bus_toolkit.json_text import once

ENTRIES = [
    {"id": number, "text": '},{"]' * (number % 3), "deep": [[{"a": [number, -1.5e3, None]}]], "é": "漢\ud83d"}
    for number in range(40)
]


@pytest.fixture(params=[1, 7, 64, 1000, 1 << 20])
def pieces(request, monkeypatch):
    """Read so many characters at a time."""
    monkeypatch.setattr(json_stream, "_PIECE", request.param)


def written(folder, value, **options):
    file = folder / "file.json"
    file.write_text(value if isinstance(value, str) else json.dumps(value, **options))
    return file


def sections(file, *names, **options):
    found = {}
    for name, entries in list_sections(file, names, "here", **options):
        found.setdefault(name, []).extend(entries)
    return found


@pytest.mark.parametrize("indent", [None, 1])
def test_what_is_read_in_pieces_is_what_is_read_at_once(pieces, indent, tmp_path):
    value = {"info": {"x": [1, {"y": 2}]}, "b": ENTRIES, "passed over": [*ENTRIES, 1, "a"], "n": 12, "a": [1, "x", []]}
    file = written(tmp_path, value, indent=indent)
    assert sections(file, "a", "b") == {"a": value["a"], "b": ENTRIES}
    assert sections(file, "b", also=("none",)) == {"b": ENTRIES}
    file = written(tmp_path, ENTRIES, indent=indent)
    assert [one for several in list_entries(file, "here") for one in several] == ENTRIES
    assert begins_with("[", file, "here") and not begins_with("{", file, "here")
    lists = {str(number): [number, [number], {}] for number in range(50)}
    found = {}
    for several in mapping_entries(written(tmp_path, lists, indent=indent), "here"):
        found |= several
    assert found == lists


def test_empty_lists_and_mappings_and_a_byte_order_mark(pieces, tmp_path):
    assert sections(written(tmp_path, '\ufeff { "a" : [ ] } '), "a") == {}
    assert list(list_entries(written(tmp_path, " [\n]"), "here")) == []
    assert list(mapping_entries(written(tmp_path, "{}"), "here")) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": [{"x": 1}, {"x": }]}', "Expecting value"),
        ('{"a": [{"x": 1} {"x": 2}]}', "must be followed by a comma"),
        ('{"a": [1, 2,]}', "after a comma must come an entry, got ']'"),
        ('{"a": [{"x": 1}', "must be followed by a comma or ']', got ''"),
        ('{"a": [{"x": "never ends', "Unterminated string"),
        ('{"a": [1]} {', "after its end comes '{'"),
        ('{"a": [1], "a": [2]}', "the key 'a' occurs twice"),
        ('{"a": [{"x": 1}, {"y": 2, "y": 3}]}', "the key 'y' occurs twice"),
        ('{"a": {"x": 1}}', "must have a list as a, got"),
        ("[1]", "must have a mapping with a, got"),
        ("", "must have a mapping with a, got ''"),
        ('{"b": []}', "it has no a"),
        ('{"a": ' + "[" * 100_000, "nested too deep|never|no end|ends too early|Expecting"),
    ],
)
def test_damage_is_named(pieces, text, message, tmp_path):
    with pytest.raises(DataError, match=message) as caught:
        sections(written(tmp_path, text), "a", hook=once)
    assert str(caught.value).startswith(f"here: {tmp_path / 'file.json'} is not JSON of the form")


def test_an_entry_that_never_ends_is_refused_before_memory_is_full(monkeypatch, tmp_path):
    monkeypatch.setenv("BUS_MAX_JSON_ENTRY", "1000")
    monkeypatch.setattr(json_stream, "_PIECE", 64)
    with pytest.raises(DataError, match="more than 1000 characters, or no end.*BUS_MAX_JSON_ENTRY"):
        sections(written(tmp_path, '{"a": ["' + "x" * 10_000), "a")


def test_other_bytes_and_missing_files_are_named(tmp_path):
    (tmp_path / "file.json").write_bytes(b'{"a": ["\xff"]}')
    with pytest.raises(DataError, match="is not UTF-8"):
        sections(tmp_path / "file.json", "a")
    with pytest.raises(DataError, match="cannot be read: No such file"):
        sections(tmp_path / "none.json", "a")


def test_memory_holds_a_piece_and_not_the_file(monkeypatch, tmp_path):
    monkeypatch.setattr(json_stream, "_PIECE", 1000)
    file = written(tmp_path, {"a": [{"id": number} for number in range(20_000)]})
    sizes = [len(entries) for _, entries in list_sections(file, ("a",), "here")]
    assert sum(sizes) == 20_000 and np.median(sizes) > 50 and max(sizes) < 400, "many at a time, and never all"
