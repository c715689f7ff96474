"""``bus-toolkit benchmark-vlm``: its tables, its files, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from bus_toolkit.cli.benchmark_vlm import COMMAND
from bus_toolkit.config.files import find_config
from bus_toolkit.errors import ConfigError


def _smaller(folder: Path) -> Path:
    """Write the tiny config with half of its layers and one arm."""
    config = yaml.safe_load(find_config("_huggingface_/qwen2_5_vl_tiny").read_text())
    config["model"]["config"]["text_config"]["num_hidden_layers"] = 2
    config["arms"] = {"half | of it": {"selectors": [{"type": "Random", "blocks": [1], "keep_ratio": 0.5}]}}
    file = folder / "small.yaml"
    file.write_text(yaml.safe_dump(config))
    return file


def test_it_shows_and_writes_each_arm_beside_what_it_has_to_beat(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--batch-size", "1", "--rounds", "1", "--new-tokens", "2", "--device", "cpu", "--out", str(tmp_path)]
    COMMAND.main([str(_smaller(tmp_path)), *flags, "--cfg-options", "image_sizes=[[56, 112]]"])
    shown = capsys.readouterr().out
    page = (tmp_path / "benchmark_vlm.md").read_text()
    names = ["unpruned", "keeps all", "half | of it", "Random 0.5 after layer 1", "UniformGrid 0.5 after layer 1"]
    for text in (
        *names[:2],
        "half \\| of it",
        *names[3:],
        "image 28 x 84",
        "56 x 112 pixels, 8 visual tokens, batch 1",
    ):
        assert text in page and text in shown
    assert "Hooks alone:" in page and "aim at most 2 %" in page
    written = json.loads((tmp_path / "benchmark_vlm.json").read_text())
    assert written["settings"] in page
    assert [row["name"] for row in written["arms"]] == [*names, "image 28 x 84"]
    assert written["arms"][2]["kept_mean"] == 4


def test_one_new_token_is_refused() -> None:
    with pytest.raises(ConfigError, match="--new-tokens: must be 2 or more"):
        COMMAND.main(["_huggingface_/qwen2_5_vl_tiny", "--new-tokens", "1"])


def test_a_size_that_does_not_fit_is_refused_before_anything_is_measured() -> None:
    with pytest.raises(ConfigError, match="image_sizes: height and width must be multiples of 28"):
        COMMAND.main(["_huggingface_/qwen2_5_vl_tiny", "--cfg-options", "image_sizes=[57]"])
