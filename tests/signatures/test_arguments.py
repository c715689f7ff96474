import numbers
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pytest
import torch

from bus_toolkit.signatures import (
    check_arguments,
    describe_kind,
    did_you_mean,
    fits,
    forwards_to_super,
    signature_of,
)


class Base:
    def __init__(self, width: int, fuse: str = "none", *, scale: float = 1.0) -> None: ...


class Handing(Base):
    def __init__(self, extra: int, **kwargs) -> None:
        super().__init__(4, scale=2.0, **kwargs)


class Keeping(Base):
    def __init__(self, **kwargs) -> None:
        self.kwargs = kwargs


@pytest.mark.parametrize(
    "annotation, good, bad",
    [
        (int, [3], [3.0, True, "3", None]),
        (float, [3, 0.5, float("inf")], [True, "x", [1.0], float("nan")]),
        (numbers.Number, [3], ["x"]),
        (bool, [True], [1, "yes"]),
        (str, ["a"], [1]),
        (int | None, [None, 2], ["a"]),
        (float | torch.Tensor, [0.1], ["fast"]),
        (float | Mapping[str, Any], [0.5, {"start": 1.0}], ["a", [1]]),
        (Literal["none", "raw"], ["raw"], ["rw", 1]),
        (Sequence[int], [[1, 2], []], ["ab", [1.5], 3]),
        (tuple[float, float], [[0.9, 1]], [[0.9], 0.9]),
        (dict[str, int], [{"a": 1}], [{"a": "b"}]),
        (Any, [object()], []),
        (Base, [{"type": "Base"}, 3], []),
    ],
)
def test_values_are_judged_by_the_annotation(annotation, good, bad):
    assert all(fits(annotation, value) for value in good)
    assert not any(fits(annotation, value) for value in bad)


def test_kinds_are_said_in_words():
    assert describe_kind(list[int] | None) == "a list (a whole number each) or null"
    assert describe_kind(float | torch.Tensor) == "a number"
    assert describe_kind(Literal["a", "b"]) == "one of a, b"


def test_kwargs_handed_to_super_add_its_arguments():
    signature = signature_of(Handing)
    assert list(signature.arguments) == ["extra", "fuse"]  # width is given by position, scale by name
    assert not signature.is_open


def test_a_position_that_the_call_fills_is_no_argument():
    class Filling(Base):
        def __init__(self, **kwargs) -> None:
            super().__init__(4, "raw", **kwargs)

    assert list(signature_of(Filling).arguments) == ["scale"]


def test_what_is_given_by_position_alone_is_no_argument():
    def function(part, /, *, rank: int = 8): ...

    problems = check_arguments("function", signature_of(function), {"r": 16}, "p")
    assert list(map(str, problems)) == ["p.r: function has no argument 'r'. It takes rank."]


@pytest.mark.parametrize(
    "value, advice",
    [
        (2, "must be a list (a whole number each), got 2. Put it into a list: [2]."),
        ("2", "must be a list (a whole number each), got '2'."),
        ([True], "must be a list (a whole number each), got [True]."),
    ],
)
def test_one_value_in_place_of_a_list_is_shown_in_one(value, advice):
    def function(blocks: Sequence[int]): ...

    (problem,) = check_arguments("function", signature_of(function), {"blocks": value}, "p")
    assert str(problem) == f"p.blocks: {advice}"


def test_declared_forwarding_needs_no_source():
    namespace = {"Base": Base, "forwards_to_super": forwards_to_super, "__name__": "bus_toolkit.generated"}
    exec(  # such a class has no source that could be read
        "class Declared(Base):\n"
        "    @forwards_to_super('scale')\n"
        "    def __init__(self, extra, **kwargs): super().__init__(scale=1, **kwargs)\n"
        "class Undeclared(Base):\n"
        "    def __init__(self, extra, **kwargs): super().__init__(scale=1, **kwargs)\n",
        namespace,
    )
    declared = signature_of(namespace["Declared"])
    assert list(declared.arguments) == ["extra", "width", "fuse"] and not declared.is_open
    assert declared.arguments["width"].required
    assert signature_of(namespace["Undeclared"]).is_open


def test_our_own_parts_declare_what_they_forward():
    from bus_toolkit.registry import REGISTRIES

    entries = [entry for parts in REGISTRIES.all() for entry in map(parts.get, parts.names())]
    ours = [entry for entry in entries if entry.cls.__module__.startswith("bus_toolkit.")]
    assert [entry.name for entry in ours if entry.signature.is_open] == []


def test_kwargs_kept_leave_the_signature_open():
    assert signature_of(Keeping).is_open
    assert check_arguments("Keeping", signature_of(Keeping), {"anything": 1}, "p") == []


def test_every_required_argument_is_required():
    def function(first, second, third=3): ...

    problems = check_arguments("function", signature_of(function), {}, "p", provided={"first"})
    assert list(map(str, problems)) == ["p.second: function needs this argument, got nothing. Add it."]


def test_suggests_near_names_only():
    assert did_you_mean("Keepratio", ["keep_ratio", "blocks"]) == " Did you mean 'keep_ratio'?"
    assert did_you_mean("zzz", ["keep_ratio"]) == ""


def test_the_older_form_of_super_hands_arguments_on_too():
    from mmpretrain.models import ResNeXt

    signature = signature_of(ResNeXt)
    assert not signature.is_open
    assert {"groups", "width_per_group", "num_stages"} <= signature.arguments.keys()
    assert "img_size" not in signature.arguments
