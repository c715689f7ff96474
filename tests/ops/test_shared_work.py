"""Work of one rank for all: what fails on one fails on all."""

import pytest

from bus_toolkit.errors import BusError, CheckpointError, DataError
from bus_toolkit.ops.shared_work import for_all_ranks, is_first_of_machine, on_first_rank


class Own(DataError):
    """An error that other ranks may not be able to build."""

    def __init__(self, first, second):
        super().__init__(f"{first} {second}")


def on_rank(rank, kind, where):
    def work():
        if kind is not None:
            raise kind("a", "b") if kind is Own else kind("broken")
        return rank

    try:
        return for_all_ranks(work, here=rank in where)
    except Exception as error:
        return type(error).__name__, str(error)


@pytest.mark.parametrize(
    ("kind", "own", "others"),
    [
        (CheckpointError, "CheckpointError", ("CheckpointError", "rank 0: broken")),
        (Own, "Own", ("DataError", "rank 0: a b")),
        (MemoryError, "MemoryError", ("BusError", "rank 0: MemoryError: broken")),
    ],
)
def test_a_failure_of_the_first_rank_is_one_of_all(two_ranks, kind, own, others):
    first, second = two_ranks(on_rank, kind, [0])
    assert first[0] == own and second == others


def test_all_go_on_when_it_is_done(two_ranks):
    assert two_ranks(on_rank, None, [0]) == [0, None]
    assert two_ranks(on_rank, None, [0, 1]) == [0, 1]


def test_one_process_does_it_or_not():
    assert for_all_ranks(lambda: 3) == 3 and for_all_ranks(lambda: 3, here=False) is None and is_first_of_machine()
    with pytest.raises(BusError, match="^a$"):
        for_all_ranks(lambda: (_ for _ in ()).throw(BusError("a")))


@pytest.mark.parametrize(("local_rank", "is_first"), [(None, True), ("0", True), ("1", False)])
def test_the_first_process_of_a_machine_is_that_of_local_rank_0(local_rank, is_first, monkeypatch):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if local_rank is not None:
        monkeypatch.setenv("LOCAL_RANK", local_rank)
    assert is_first_of_machine() is is_first


def first_rank(rank, kind):
    def work():
        if kind is not None:
            raise kind("a", "b")
        return {"rank": rank}

    try:
        return on_first_rank(work)
    except Exception as error:
        return type(error).__name__, str(error)


def test_what_the_first_rank_returns_or_raises_is_that_of_all(two_ranks):
    assert two_ranks(first_rank, None) == [{"rank": 0}] * 2
    assert two_ranks(first_rank, Own) == [("Own", "a b"), ("DataError", "rank 0: a b")], "an error of any constructor"
    assert on_first_rank(lambda: 3) == 3
