"""``bus-toolkit benchmark``: its table, its files, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from bus_toolkit.cli.benchmark import COMMAND, read_results
from bus_toolkit.errors import ConfigError
from tests.analysis.toy import toy

ROOT = Path(__file__).parents[2]
TINY = ROOT / "registry_configs" / "bus" / "bus_scenes_tiny.yaml"


@pytest.mark.slow
def test_it_prints_writes_and_draws_each_config_beside_its_baselines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, results = tmp_path / "mine.yaml", tmp_path / "accuracy.json"
    selectors = [{"type": "TSPS", "blocks": [1], "keep_ratio": 0.25}]
    config.write_text(yaml.safe_dump({"model": toy(32, selectors=selectors)}))
    results.write_text('{"mine": 0.66}')
    flags = ["--scope", "vision", "--batch-size", "2", "--text-length", "8", "--rounds", "1"]
    COMMAND.main([str(config), *flags, "--results", str(results), "--out", str(tmp_path)])
    shown = capsys.readouterr().out
    names = ["mine", "mine Random", "mine UniformGrid", "mine GridPool", "mine smaller image"]
    for text in (*names, "mine unpruned", "6 x4", "0.660", "scope vision, batch 2"):
        assert text in shown
    written = {row["name"]: row for row in json.loads((tmp_path / "benchmark.json").read_text())["models"]}
    assert list(written) == ["mine unpruned", *names]
    assert written["mine"]["efficiency"] > 0
    macs = {name: row["step_macs"] for name, row in written.items()}
    assert macs["mine smaller image"] <= macs["mine"], "of so few patches few sizes can be had"
    assert 0.8 * macs["mine"] < macs["mine UniformGrid"] == macs["mine GridPool"] <= macs["mine"]
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
