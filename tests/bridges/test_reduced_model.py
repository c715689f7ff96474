"""A folder becomes a model that answers conversations with fewer visual tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from bus_toolkit.bridges.reduced_model import load_reduced
from bus_toolkit.errors import CheckpointError, ConfigError
from bus_toolkit.huggingface import reduce_tokens

QUARTER = {"projected": {"type": "UniformGrid", "blocks": [1], "keep_ratio": 0.25}}
PICTURE = Image.linear_gradient("L").convert("RGB")


def ask(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "image", "image": PICTURE}, {"type": "text", "text": text}]}]


def test_answers_in_a_batch_are_those_alone(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "quarter.yaml").write_text(yaml.safe_dump(QUARTER))
    reduced = load_reduced(str(folder), tmp_path / "quarter.yaml", device="cpu", dtype="float32")
    asked = [ask("what is this"), ask("a red disc again")]
    alone = [reduced.answers([one], max_new_tokens=4, do_sample=False)[0] for one in asked]
    assert reduced.reduction is not None and reduced.reduction.counts == (4,)
    assert reduced.answers(asked, max_new_tokens=4, do_sample=False) == alone
    assert reduced.reduction.counts == (4, 4)
    assert [len(answer.split()) for answer in alone] == [4, 4]


def test_a_tokenizer_without_a_token_for_padding_pads_with_its_end(folder: Path) -> None:
    # As Blaizzy/mlx-vlm, issue 643, met it: one conversation alone failed, too.
    reduced = load_reduced(str(folder), QUARTER, device="cpu", dtype="float32")
    asked = [ask("what is this"), ask("a red disc again")]
    wanted = reduced.answers(asked, max_new_tokens=4, do_sample=False)
    tokenizer = reduced.processor.tokenizer
    tokenizer.pad_token, tokenizer.eos_token = None, "w2"
    assert reduced.answers(asked, max_new_tokens=4, do_sample=False) == wanted
    assert reduced.answers(asked[:1], max_new_tokens=4, do_sample=False) == wanted[:1]


def test_without_a_reduction_it_is_the_model_as_it_is(folder: Path) -> None:
    reduced = load_reduced(str(folder), device="cpu", dtype="float32")
    assert reduced.reduction is None
    with reduce_tokens(reduced.model, **QUARTER):
        pass  # one that is reduced already would be refused


def test_mistakes_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="selector: reduce_tokens has no argument 'selector'. Did you mean"):
        load_reduced(str(folder), {"selector": []}, device="cpu")
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match="has no processor that can be read"):
        load_reduced(str(tmp_path), device="cpu")
