"""What the doctor says of memory, disk and file handles."""

from __future__ import annotations

import resource
import shutil
from pathlib import Path

import pytest

from bus_toolkit.doctor import Verdict
from bus_toolkit.doctor.machine import check_disk, check_files, check_machine, check_memory, check_shared_memory

GIB = 2**30


def free(number: float):
    return lambda folder: (64 * GIB, 0, int(number * GIB))


def test_this_machine_has_a_line_for_each() -> None:
    words = " ".join(finding.what for finding in check_machine())
    assert all(word in words for word in ("processors", "memory", "/dev/shm", "writable", "open files"))


@pytest.mark.parametrize(("megabytes", "verdict"), [(8000, Verdict.OK), (3000, Verdict.WARNING)])
def test_memory(megabytes: int, verdict: Verdict) -> None:
    finding = check_memory(
        f"MemTotal:       16384000 kB\nMemAvailable:   {megabytes * 1024} kB\nHugePages_Total:   0\n"
    )
    assert finding.verdict is verdict and finding.what.endswith("of 15.6 GiB available")


def test_the_default_of_docker_is_too_little_shared_memory() -> None:
    small = check_shared_memory(free(64 / 1024))
    assert small.verdict is Verdict.WARNING and "64 MiB of 64.0 GiB" in small.what and "--shm-size=8g" in small.advice
    assert check_shared_memory(free(2)).verdict is Verdict.OK


def test_disk(tmp_path: Path) -> None:
    assert check_disk(tmp_path / "not" / "there", free(20)).what == f"{tmp_path}: 20.0 GiB free, writable"
    assert check_disk(tmp_path, free(9)).verdict is Verdict.WARNING
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(dir: Path):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("bus_toolkit.doctor.machine.tempfile.TemporaryFile", refuse)
    finding = check_disk(tmp_path, free(20))
    assert (
        finding.verdict is Verdict.FAULT and finding.what == f"{tmp_path}: cannot be written to: Read-only file system"
    )


def test_a_folder_that_may_not_be_looked_into(tmp_path: Path) -> None:
    found = check_disk(tmp_path / ("a" * 300) / "b", shutil.disk_usage)
    assert found.verdict is Verdict.FAULT and "cannot be looked at: File name too long" in found.what


def test_open_files() -> None:
    verdicts = [check_files(limit).verdict for limit in (resource.RLIM_INFINITY, 1024, 256)]
    assert verdicts == [Verdict.OK, Verdict.OK, Verdict.WARNING]
