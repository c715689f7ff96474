"""``bus-toolkit benchmark``: its table, its files, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bus_toolkit.cli.benchmark import COMMAND, read_results
from bus_toolkit.errors import ConfigError

ROOT = Path(__file__).parents[2]
TINY = ROOT / "registry_configs" / "bus" / "bus_scenes_tiny.yaml"


def test_it_prints_writes_and_draws(tmp_path: Path) -> None:
    results = tmp_path / "accuracy.json"
    results.write_text('{"bus_scenes_tiny": 0.66}')
    flags = ["--scope", "vision", "--batch-size", "2", "--text-length", "12", "--rounds", "1"]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "bus_toolkit",
            "benchmark",
            str(TINY),
            *flags,
            "--results",
            str(results),
            "--out",
            str(tmp_path),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for text in (
        "bus_scenes_tiny unpruned",
        "bus_scenes_tiny Random",
        "65 x2, 34 x4 > 17",
        "0.660",
        "scope vision, batch 2",
    ):
        assert text in done.stdout
    written = json.loads((tmp_path / "benchmark.json").read_text())
    assert [row["name"] for row in written["models"]][1] == "bus_scenes_tiny"
    assert written["models"][1]["efficiency"] > 0
    assert (tmp_path / "benchmark.png").stat().st_size > 10_000


@pytest.mark.parametrize("text", ["", "[1, 2]", '{"a": "high"}'])
def test_a_bad_results_file_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match="--results"):
        read_results(path)


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="--device: cannot use 'tpu9'"):
        COMMAND.main([str(TINY), "--device", "tpu9"])
