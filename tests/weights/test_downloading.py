"""Two addresses never share a copy, and a renewed file is copied again."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from bus_toolkit.errors import CheckpointError
from bus_toolkit.weights.downloading import local_copy
from bus_toolkit.weights.reading import read_tensors
from tests.weights.server import asked, serving


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    folder = tmp_path / "served"
    for number, run in enumerate(("run_a", "run_b", "silent")):
        (folder / run).mkdir(parents=True)
        save(folder / run / "epoch_10.pth", number)
    with serving(folder) as address:
        yield address, folder


def save(file: Path, value: float) -> None:
    torch.save({"state_dict": {"w": torch.full((2,), float(value))}}, file)


def value_at(address: str) -> float:
    return read_tensors(address).tensors["w"][0].item()


def test_files_of_one_name_in_two_runs_are_two_copies(served: tuple[str, Path]) -> None:
    address, _ = served
    assert [value_at(f"{address}/run_{run}/epoch_10.pth") for run in "aba"] == [0.0, 1.0, 0.0]


def test_another_query_is_another_file(served: tuple[str, Path]) -> None:
    address, _ = served
    first, second = (local_copy(f"{address}/run_a/epoch_10.pth?version={n}") for n in (1, 2))
    assert first != second and first.name.endswith("-epoch_10.pth")


def test_a_copy_is_used_again_and_the_log_says_so(served: tuple[str, Path], caplog: pytest.LogCaptureFixture) -> None:
    address = f"{served[0]}/run_a/epoch_10.pth"
    with caplog.at_level(logging.INFO, logger="bus_toolkit"):
        paths = [local_copy(address) for _ in range(2)]
    assert asked == ["GET /run_a/epoch_10.pth", "HEAD /run_a/epoch_10.pth"]
    assert caplog.messages == [f"{address}: taken from its copy {paths[0]}, which is unchanged."]


def test_a_file_that_was_renewed_is_copied_again(served: tuple[str, Path], caplog: pytest.LogCaptureFixture) -> None:
    address, folder = served[0] + "/run_a/epoch_10.pth", served[1]
    assert value_at(address) == 0.0
    file = folder / "run_a" / "epoch_10.pth"
    before = file.stat()
    save(file, 7)  # of the same length
    os.utime(file, ns=(before.st_mtime_ns, before.st_mtime_ns))
    with caplog.at_level(logging.INFO, logger="bus_toolkit"):
        assert value_at(address) == 7.0
    assert "has changed on the server since it was copied to" in caplog.text


def test_a_server_that_does_not_say_leaves_the_copy_in_use(
    served: tuple[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    address = f"{served[0]}/silent/epoch_10.pth"
    with caplog.at_level(logging.INFO, logger="bus_toolkit"):
        assert [value_at(address) for _ in range(2)] == [2.0, 2.0]
    assert "the server does not say whether it has changed" in caplog.text


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gone.pth", "HTTP Error 404"),
        ("cut.pth", "broke off after 100 of"),
        ("login.pth", "the server sent a page of text, as for a login"),
    ],
)
def test_a_file_that_does_not_arrive_leaves_nothing(
    served: tuple[str, Path], tmp_path: Path, name: str, reason: str
) -> None:
    (served[1] / "login.pth").write_text("\n<!doctype html><html>Sign in</html>")
    with pytest.raises(CheckpointError, match=rf"{name}: cannot be downloaded \(.*{reason}.*\)\. Give the path of a"):
        local_copy(f"{served[0]}/{name}")
    assert list((tmp_path / "hub" / "checkpoints").iterdir()) == []


def test_a_token_in_an_address_is_not_kept_on_the_disk(served: tuple[str, Path]) -> None:
    copy = local_copy(f"{served[0]}/run_a/epoch_10.pth?token=secret")
    assert "secret" not in copy.with_name(f"{copy.name}.json").read_text()
