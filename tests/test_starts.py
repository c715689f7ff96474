"""Every recipe that starts from another one fits the weights of that one, by the parts that it names."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
import torch

from bus_toolkit import build_model, load_config
from bus_toolkit.models.momentum import copied_parts
from bus_toolkit.weights.load_rule import LoadRule
from bus_toolkit.weights.reading import source_of
from bus_toolkit.weights.settings import Pretrained, load_model

ROOT = Path(__file__).parents[1] / "registry_configs"
OWN_WORDS = {"tokenizer": {"type": "bus_toolkit.WordPieceTokenizer", "max_length": 25}}


def starts() -> list[tuple[str, str]]:
    """Return each config that starts from a work dir, and the config that is trained in it."""
    pairs = []
    for path in sorted(ROOT.glob("[a-z]*/*.yaml")):
        run = re.search(r"work_dirs/(\w+)/epoch_\d+\.pth", str(load_config(path).get("load_from")))
        if run is not None:
            (first,) = ROOT.glob(f"*/{run[1]}.yaml")
            pairs.append((str(path.relative_to(ROOT)), str(first.relative_to(ROOT))))
    return pairs


@cache
def weights_of(first: str) -> dict[str, torch.Tensor]:
    """Return the weights of a first stage without numbers; many second stages start from one."""
    with torch.device("meta"):
        return build_model(load_config(ROOT / first)).state_dict()


@pytest.mark.parametrize(("second", "first"), starts())
def test_a_second_stage_fits_the_weights_of_the_first(
    second: str, first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data/vqa_v2").mkdir(parents=True)
    Path("data/vqa_v2/answers.txt").write_text("".join(f"{n}\n" for n in range(128)))
    wanted = load_config(ROOT / second)
    with torch.device("meta"):
        model = build_model(wanted)
    rule = LoadRule(copies=copied_parts(model))
    report = load_model(
        model,
        source_of({"state_dict": weights_of(first)}, first),
        Pretrained.parse(wanted.load_from),
        rule,
        "load_from",
    )
    assert report.loaded
