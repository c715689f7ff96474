import math

import pytest

from bus_toolkit.config.yaml_text import dump_yaml, parse_value, read_yaml
from bus_toolkit.errors import ConfigError


@pytest.mark.parametrize(
    "text, value",
    [
        ("1e-4", 1e-4),
        ("1.0e4", 10000.0),
        ("1e4", 10000.0),
        (".5", 0.5),
        ("-3", -3),
        ("0o17", 15),
        ("0x1F", 31),
        ("012", 12),
        (".inf", math.inf),
        ("true", True),
        ("null", None),
        ("~", None),
        ("", None),
        ("on", "on"),
        ("no", "no"),
        ("none", "none"),
        ("12:30:00", "12:30:00"),
        ("1_000", "1_000"),
        ("2024-01-01", "2024-01-01"),
        ("'1'", "1"),
        ("[1, a]", [1, "a"]),
        ("{a: {b: 2}}", {"a": {"b": 2}}),
        ("", None),
    ],
)
def test_values_follow_yaml_1_2(text, value):
    loaded = parse_value(text, "here")
    assert loaded == value and type(loaded) is type(value)


def test_a_dump_loads_again_to_equal_data():
    data = {
        "texts": ["yes", "1e-4", "0o17", "null", "", "a: b", "12:30:00", "${HOME}", "Größe", "1_0", "x\ny", "<<", "~"],
        "numbers": [1e-5, 1e22, -0.0, 3, math.inf, True, None],
        "empty": {"list": [], "mapping": {}},
    }
    data["again"] = data["texts"]
    assert parse_value(dump_yaml(data), "dump") == data


def test_anchors_and_merge_keys_work():
    text = "a: &x {p: 1, q: 2}\nb: {<<: *x, q: 3}\nc: *x"
    assert parse_value(text, "f") == {"a": {"p": 1, "q": 2}, "b": {"p": 1, "q": 3}, "c": {"p": 1, "q": 2}}


def test_the_same_text_gives_new_data_each_time():
    text = "a: &x {p: [1], q: 2}\nb: {<<: *x, q: 3}\nc: ${SIZE:-4}"
    first = parse_value(text, "f")
    first["a"]["p"].append(2)
    assert parse_value(text, "f") == {"a": {"p": [1], "q": 2}, "b": {"p": [1], "q": 3}, "c": 4}


def test_of_several_merged_mappings_the_first_wins_and_a_merge_of_a_value_is_refused():
    text = "a: &a {side: 1, depth: 1}\nb: &b {side: 2, width: 2}\nc: {<<: [*a, *b], depth: 3}"
    assert parse_value(text, "f")["c"] == {"side": 1, "depth": 3, "width": 2}
    with pytest.raises(ConfigError, match="f:1:15: expected a mapping for merging, but found scalar"):
        parse_value("a: {x: 1, <<: 3}", "f")


def test_a_mapping_that_merges_itself_is_refused():
    with pytest.raises(ConfigError, match="f:1:1: a mapping merges itself. Take this << out."):
        parse_value("&a {<<: *a, x: 1}", "f")


def test_environment_variables_are_filled_in(monkeypatch):
    monkeypatch.setenv("BUS_TEST_SIZE", "32")
    monkeypatch.delenv("BUS_TEST_NONE", raising=False)
    text = "[${BUS_TEST_SIZE}, '${BUS_TEST_SIZE}', a/${BUS_TEST_SIZE}/b, ${BUS_TEST_NONE:-x}, $${BUS_TEST_SIZE}]"
    assert parse_value(text.replace("[", "- ").replace(", ", "\n- ").replace("]", ""), "f") == [
        32,
        "32",
        "a/32/b",
        "x",
        "${BUS_TEST_SIZE}",
    ]
    with pytest.raises(ConfigError, match=r"f:1:4: the environment has no variable BUS_TEST_NONE; set it"):
        parse_value("a: ${BUS_TEST_NONE}", "f")


def test_a_tag_that_runs_code_is_refused_and_nothing_runs(tmp_path):
    witness = tmp_path / "ran"
    path = tmp_path / "evil.yaml"
    path.write_text(f"model: !!python/object/apply:os.system ['touch {witness}']\n")
    with pytest.raises(ConfigError) as caught:
        read_yaml(path)
    assert str(caught.value) == (
        f"{path}:1:8: the tag !!python/object/apply:os.system is refused: a config holds data, never code. Remove it."
    )
    assert not witness.exists()


@pytest.mark.parametrize(
    "text, message",
    [
        ("a: 1\nb: 2\na: 3", "f:3:1: the key 'a' is given twice. Remove one of them."),
        ("x: &x {c: 1}\ny:\n  <<: *x\n  a: 1\n  a: 2", "f:5:3: the key 'a' is given twice."),
        ("1: 2", "f:1:1: a key must be text, got 1. Write it in quotes: '1'."),
        ("a: !mine 3", "f:1:4: the tag !mine is refused"),
        ("a: !!timestamp 2020-01-01", "the tag !!timestamp is refused"),
        ("a: &x [*x]", "unconstructable recursive node"),
        ("a: [1", "f:1:6: expected ',' or ']'"),
        ("a: !!int foo", "not a valid YAML value"),
    ],
)
def test_other_mistakes_are_reported_with_their_place(text, message):
    with pytest.raises(ConfigError) as caught:
        parse_value(text, "f")
    assert message in str(caught.value)


def test_a_file_must_be_a_readable_mapping(tmp_path):
    (tmp_path / "list.yaml").write_text("[1]")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="must hold a mapping, got list"):
        read_yaml(tmp_path / "list.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_yaml(tmp_path / "bytes.yaml")
    (tmp_path / "empty.yaml").write_text("")
    assert read_yaml(tmp_path / "empty.yaml") == {}


@pytest.mark.parametrize("text, comment", [("run #3", "#3"), ("#1", "#1"), ("[1, 2] # both", "# both")])
def test_a_value_that_yaml_would_cut_at_a_comment_is_refused(text, comment):
    with pytest.raises(ConfigError, match=f"here: YAML reads '{comment}' as a comment, got .* Put quotes inside"):
        parse_value(text, "here")


def test_a_hash_in_a_word_or_in_quotes_is_no_comment():
    assert parse_value("a#3", "here") == "a#3"
    assert parse_value("'run #3'", "here") == "run #3"


@pytest.mark.parametrize(
    "text, advice",
    [
        ("a:\n\tb: 1", "Indent with spaces, not with tabs"),
        (r'"C:\data"', "In double quotes write two backslashes for one"),
        ("@home", "Put text with such characters in quotes"),
        ("*.png", "Put text with such characters in quotes"),
        ("a: b: c", "Put text with such characters in quotes"),
        ("a\n---\nb", "expected a single document in the stream, but found another document"),
        ("p\udcc3", "Remove it; use a UTF-8 locale"),
    ],
)
def test_a_mistake_of_syntax_comes_with_advice(text, advice):
    with pytest.raises(ConfigError, match=advice):
        parse_value(text, "here")


def test_a_mistake_that_names_its_own_advice_gets_no_other():
    with pytest.raises(ConfigError, match=r"config holds data, never code. Remove it\.$"):
        parse_value("a: !!python/name:os", "here")


def test_aliases_of_aliases_that_would_fill_the_memory_are_refused():
    levels = "".join(f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 10)}]\n" for n in range(9))
    with pytest.raises(ConfigError, match="here: holds more than 20000 values, those of an alias"):
        parse_value(f"a0: &a0 [1]\n{levels}", "here")
    assert parse_value("{a: &a [1, 2], b: [*a, *a]}", "here") == {"a": [1, 2], "b": [[1, 2], [1, 2]]}


def test_a_value_inside_of_itself_is_refused():
    with pytest.raises(ConfigError, match="here:1:1: found unconstructable recursive node"):
        parse_value("&a [*a]", "here")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 200 + "]" * 200, "here: has more than 100 mappings and lists inside of each other.*BUS_MAX_YAML_DEPTH"),
        ("[" * 100_000, "here: has more than 100"),
        (f"[{'1, ' * 25_000}]", "here: holds more than 20000 values.*BUS_MAX_YAML_VALUES"),
        (f"a: '{'x' * 2_000_000}'", "here: has 2000005 bytes, allowed are 1048576.*BUS_MAX_YAML_BYTES"),
        (f"a: {'9' * 400}", "here:1:4: a number has at most 40 digits, got 400"),
    ],
)
def test_what_is_too_large_for_a_config_is_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_value(text, "here")


def test_a_limit_of_yaml_can_be_raised(monkeypatch):
    text = "[" * 150 + "]" * 150
    monkeypatch.setenv("BUS_MAX_YAML_DEPTH", "150")
    assert str(parse_value(text, "here")) == text


def test_many_keys_are_read_in_time_that_grows_with_their_number():
    keys = "".join(f"k{number}: 1\n" for number in range(5000))
    assert len(parse_value(keys, "here")) == 5000
    with pytest.raises(ConfigError, match="the key 'k7' is given twice"):
        parse_value(keys + "k7: 1", "here")
