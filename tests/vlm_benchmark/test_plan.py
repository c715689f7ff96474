"""The YAML of a benchmark is checked before anything is built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from bus_toolkit.errors import ConfigError
from bus_toolkit.vlm_benchmark.plan import read_plan

GOOD: dict[str, Any] = {
    "model": {"config": {"model_type": "qwen2_5_vl"}},
    "image_sizes": [56, [56, 84]],
    "arms": {"half": {"projected": {"type": "Random", "blocks": [1], "keep_ratio": 0.5}}},
}


def _write(folder: Path, **changes: Any) -> Path:
    file = folder / "plan.yaml"
    file.write_text(yaml.safe_dump({**GOOD, **changes}))
    return file


def test_overrides_reach_arms_and_what_has_a_default(tmp_path: Path) -> None:
    plan = read_plan(_write(tmp_path), ["arms.half.projected.keep_ratio=0.25", "prompt_length=20"])
    assert plan.arms["half"]["projected"]["keep_ratio"] == 0.25
    assert (plan.image_sizes, plan.prompt_length) == (((56, 56), (56, 84)), 20)


def test_those_that_ship_can_be_read() -> None:
    assert read_plan("_huggingface_/qwen2_5_vl_tiny").image_sizes == ((168, 224),)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"configs": {}}}, r"model.configs: model has no argument 'configs'. Did you mean 'config'\?"),
        ({"arms": {"half": {"selector": []}}}, "arms.half.selector: reduce_tokens has no argument 'selector'"),
        ({"arms": {"half": {"model": 1}}}, "arms.half.model: reduce_tokens has no argument 'model'"),
        ({"arms": {"half": {"quota": "all"}}}, "arms.half.quota: must be one of sample, image, got 'all'"),
        ({"image_sizes": [[1, 2, 3]]}, r"image_sizes.0: must be pixels, or \[height, width\]"),
        ({"image_sizes": []}, "image_sizes and arms: need one entry"),
        ({"prompt_length": 2}, "prompt_length: must be 4 or more"),
        ({"prompt": 2}, "a benchmark has no argument 'prompt'"),
    ],
)
def test_mistakes_are_named(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        read_plan(_write(tmp_path, **changes))
