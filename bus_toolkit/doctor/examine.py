"""All checks, in the order in which one rests on another."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bus_toolkit.doctor.child import findings_of, start
from bus_toolkit.doctor.environment import check_environment
from bus_toolkit.doctor.finding import Finding, Verdict, fault
from bus_toolkit.doctor.machine import check_machine
from bus_toolkit.doctor.versions import check_versions

_WORLD_SIZE = 2
_REPORT = "Report it with this page."
_FIND_PLUGIN = "Leave out one plugin after the other with BUS_PLUGINS to find the one that ends or stops the process."
_FIND_NETWORK = (
    "Name the network interface (export GLOO_SOCKET_IFNAME=eth0; `ip address` lists them), let the machine's own name "
    "resolve (/etc/hosts), and open its firewall for processes of its own."
)


@dataclass(frozen=True)
class Section:
    """What was found about one thing.

    Attributes:
        title: The thing.
        findings: At least one.
    """

    title: str
    findings: tuple[Finding, ...]

    @property
    def num_faults(self) -> int:
        """Return how many findings keep runs from working."""
        return sum(finding.verdict is Verdict.FAULT for finding in self.findings)


def examine(work_dir: Path = Path("work_dirs"), seconds: float = 120) -> Iterator[Section]:
    """Examine this machine and this installation; each section comes as soon as it is there.

    Args:
        work_dir: The folder that runs are written into.
        seconds: Time that a check in a process of its own may take.
    """
    checks: list[tuple[str, Callable[[], list[Finding]]]] = [
        ("Versions", check_versions),
        ("Machine", lambda: check_machine(work_dir)),
        ("Environment", check_environment),
        ("Devices", lambda: _devices(seconds)),
        ("Plugins", lambda: _in_child("plugins", _FIND_PLUGIN, seconds)),
        ("Processes", lambda: _round(seconds)),
        ("A training step", lambda: _steps(seconds)),
    ]
    for title, check in checks:
        try:
            findings = check()
        except Exception as error:  # a check that fails must not hide the others
            findings = [fault(f"the check failed: {type(error).__name__}: {error}", _REPORT)]
        yield Section(title, tuple(findings))


def _devices(seconds: float) -> list[Finding]:
    return _in_child("devices", "PyTorch cannot ask for GPUs. Look at nvidia-smi, and install PyTorch again.", seconds)


def _steps(seconds: float) -> list[Finding]:
    import torch

    devices = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    advice = f"Install PyTorch again for this processor and this driver. {_REPORT}"
    return [finding for device in devices for finding in _in_child(f"step {device}", advice, seconds)]


def _round(seconds: float) -> list[Finding]:
    with tempfile.TemporaryDirectory() as folder:
        file, limit = f"{folder}/meeting", str(seconds / 2)
        processes = [start("round", str(rank), str(_WORLD_SIZE), file, limit) for rank in range(_WORLD_SIZE)]
        what = f"{_WORLD_SIZE} processes over gloo"
        found = [findings_of(process, what, _FIND_NETWORK, seconds) for process in processes]
    return max(found, key=lambda each: any(finding.verdict is Verdict.FAULT for finding in each))


def _in_child(words: str, advice: str, seconds: float) -> list[Finding]:
    return findings_of(start(*words.split()), words, advice, seconds)
