"""Patterns and rules: what they match, what they make, and the way back."""

from __future__ import annotations

import pytest
import torch

from bus_toolkit.weights.mapping import OPERATIONS, Rule, from_target, to_target
from bus_toolkit.weights.patterns import matches, pattern


@pytest.mark.parametrize(
    ("text", "name", "found"),
    [
        ("a.{i}.b", "a.12.b", {"i": "12"}),
        ("a.{i}.b", "a.x.b", None),
        ("a.{i}.{i}", "a.1.2", None),
        ("a.{i}.{i}", "a.2.2", {"i": "2"}),
        ("a.*", "a.b.c", {"*": "b.c"}),
        ("a.*", "a.", None),
        ("*.b.*", "x.b.y", {"*": "x", "*2": "y"}),
        ("[p.]a", "a", {"p.": ""}),
        ("[p.]a", "p.a", {"p.": "p."}),
        ("[p.|q.]a", "q.a", {"p.|q.": "q."}),
        ("a.b", "axb", None),
        ("a.{i+n}", "a.5", {"i": "2"}),
        ("a.{i+n}", "a.2", None),
    ],
)
def test_a_pattern_matches_whole_names(text: str, name: str, found: dict[str, str] | None) -> None:
    bindings = pattern(text).match(name, {"n": 3})
    assert bindings == found
    if found is not None:
        assert pattern(text).fill(found, {"n": 3}) == name


def test_the_first_choice_is_written_where_nothing_was_matched() -> None:
    assert pattern("[bert.]a.{i}").fill({"i": "4"}, {}) == "bert.a.4"


def test_matches_takes_any_of_several() -> None:
    assert matches("head.bias", ("x.*", "head.*")) and not matches("head", ("x.*", "head.*"))


@pytest.mark.parametrize(("op", "shape", "count"), [("copy", (2, 3), 1), ("token", (4,), 1), ("table", (5, 4), 1)])
def test_an_operation_is_undone_on_the_way_back(op: str, shape: tuple[int, ...], count: int) -> None:
    tensor = torch.randn(shape)
    back = OPERATIONS[op].back(OPERATIONS[op].forth([tensor]), count)
    assert len(back) == 1 and torch.equal(back[0], tensor)


def test_temperature_becomes_the_logarithm_of_its_inverse() -> None:
    scale = OPERATIONS["log_inverse"].forth([torch.tensor(0.07)])
    assert scale.exp().item() == pytest.approx(1 / 0.07)
    assert OPERATIONS["log_inverse"].back(scale, 1)[0].item() == pytest.approx(0.07)


def rules() -> list[Rule]:
    p = pattern
    return [
        Rule((p("l.{i}.q.*"), p("l.{i}.k.*"), p("l.{i}.v.*")), p("x.{i}.qkv.*"), "join"),
        Rule((p("l.{i}.qb"), None, p("l.{i}.vb")), p("x.{i}.bias"), "join"),
        Rule((p("old.*"),), p("y.*"), only="in"),
        Rule((p("new.*"),), p("y.*")),
    ]


def test_pieces_are_joined_in_order_and_taken_apart_again() -> None:
    source = {f"l.{i}.{s}.weight": torch.randn(2, 3) for s in "vkq" for i in range(2)}
    mapped = to_target(source, rules(), {})
    assert set(mapped.tensors) == {"x.0.qkv.weight", "x.1.qkv.weight"} and not mapped.left
    expected = torch.cat([source[f"l.1.{s}.weight"] for s in "qkv"])
    assert torch.equal(mapped.tensors["x.1.qkv.weight"], expected)
    assert mapped.origins["x.1.qkv.weight"] == ("l.1.q.weight", "l.1.k.weight", "l.1.v.weight")
    back = from_target(mapped.tensors, rules())
    assert set(back.tensors) == set(source) and not back.left
    assert all(torch.equal(back.tensors[name], source[name]) for name in source)


def test_a_piece_without_a_name_is_zeros_and_is_dropped_on_the_way_back() -> None:
    source = {"l.0.qb": torch.ones(2), "l.0.vb": 3 * torch.ones(2)}
    made = to_target(source, rules(), {}).tensors
    assert made["x.0.bias"].tolist() == [1, 1, 0, 0, 3, 3]
    assert {n: t.tolist() for n, t in from_target(made, rules()).tensors.items()} == {
        "l.0.qb": [1, 1],
        "l.0.vb": [3, 3],
    }


@pytest.mark.parametrize("shape", [None, (2, 4)], ids=["missing", "of another width"])
def test_pieces_that_do_not_go_together_are_left(shape: tuple[int, int] | None) -> None:
    source = {"l.0.q.weight": torch.ones(2, 3), "l.0.v.weight": torch.ones(2, 3)}
    if shape:
        source["l.0.k.weight"] = torch.ones(shape)
    mapped = to_target(source, rules(), {})
    assert not mapped.tensors and set(mapped.left) == set(source)


def test_old_names_are_understood_and_new_ones_written() -> None:
    made = to_target({"old.a": torch.ones(1)}, rules(), {}).tensors
    assert list(made) == ["y.a"] and list(from_target(made, rules()).tensors) == ["new.a"]


def test_of_two_names_for_one_tensor_the_second_is_left() -> None:
    assert to_target({"new.a": torch.ones(1), "old.a": torch.zeros(1)}, rules(), {}).left == ["old.a"]


def test_what_no_rule_knows_is_left_either_way() -> None:
    assert to_target({"z": torch.ones(1)}, rules(), {}).left == ["z"]
    assert from_target({"z": torch.ones(1)}, rules()).left == ["z"]


def test_a_rule_may_hold_only_where_the_module_has_something_or_beside_another() -> None:
    p = pattern
    both = [
        Rule((p("a.{i+n}"),), p("deep.{i}"), also=True),
        Rule((p("a.{i}"),), p("norm3.{i}"), if_there=p("norm3.{i}")),
        Rule((p("a.{i}"),), p("norm2.{i}")),
    ]
    source = {f"a.{i}": torch.full((1,), float(i)) for i in range(3)}
    made = to_target(source, both, {"n": 2}, {"norm3.1"}).tensors
    assert {name: int(t) for name, t in made.items()} == {"norm2.0": 0, "norm3.1": 1, "norm2.2": 2, "deep.0": 2}
