"""A selector of a third-party plugin that reads text and attention, unchanged in a ViT and in a language model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from bus_toolkit import build_model, load_config
from bus_toolkit.huggingface import reduce_tokens
from bus_toolkit.structures import Selection
from bus_toolkit.testing import check_selector
from tests.huggingface.tiny import Tiny, build, logits
from tests.testing.installed import plugin

PAGE = (Path(__file__).parents[2] / "plugins" / "README.md").read_text()
(CODE,) = re.findall(r"```python\n([^`]*class WordsAndAttention.*?)```", PAGE, re.DOTALL)
HOOK = """
import bus_toolkit


@bus_toolkit.hookimpl
def register_components(registries):
    registries.selectors.register(WordsAndAttention)
"""
HALF: dict[str, Any] = {"type": "WordsAndAttention", "blocks": [2], "keep_ratio": 0.5}


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "words_and_attention.py").write_text(CODE + HOOK)
    with plugin("words_and_attention", tmp_path, monkeypatch):
        yield


def by_hand(words: torch.Tensor, patches: torch.Tensor, attention: torch.Tensor) -> torch.Tensor:
    """Return the scores (N,) of one sample from its words (L, D), patches (N, D) and the last word's attention (N,)."""
    mean = sum(words) / len(words)
    alike = [float(mean @ patch / mean.norm() / patch.norm()) for patch in patches]
    return attention.log() + torch.tensor(alike)


@pytest.mark.slow
def test_it_keeps_the_promises_of_its_kind() -> None:
    check_selector("WordsAndAttention")


def test_it_selects_in_the_vision_transformer_of_a_shipped_config() -> None:
    config = load_config("bus/bus_scenes_tiny", [f"model.selectors=[{HALF}]", "model.heads.ptm=null"])
    torch.manual_seed(0)
    model = build_model(config).eval()
    texts, images = ["a red circle", "a large blue square left of it"], torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        text = model.text_encoder(model.tokenizer(texts))
        visual = model.backbone(images, text)
    (selection,) = visual.selections
    assert visual.embeds.shape[1] == 1 + 32 and selection.decision.plan.num_slots == 32
    assert torch.equal(selection.decision.plan.keep_indices, _best(selection, 32))
    with torch.no_grad():
        swapped = model.backbone(images, model.text_encoder(model.tokenizer(texts[::-1])))
    assert not torch.equal(swapped.selections[0].decision.scores, selection.decision.scores), "it reads the text"


@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl"])
def test_it_selects_in_a_language_model(family: str) -> None:
    tiny: Tiny = build(family)
    rows = [tiny.row(), tiny.row(question=(20, 21, 22))]
    inputs = tiny.of(rows)
    with reduce_tokens(tiny.model, HALF) as reduction:
        logits(tiny.model, inputs)
        (selection,) = reduction.selections
        assert reduction.counts == (8, 8)
    assert torch.equal(selection.decision.plan.keep_indices, _best(selection, 8))
    # By hand, from the whole attention map and the states of a model that nothing was put in.
    tiny.model.set_attn_implementation("eager")
    with torch.no_grad():
        out = tiny.model(**inputs, output_attentions=True, output_hidden_states=True)
    end_of_image = len(tiny.around[1])  # a mark that is text after the last visual token
    for row, length in enumerate([end_of_image + 5, end_of_image + 3]):
        places = inputs["input_ids"][row] == 100
        states, attention = out.hidden_states[2][row], out.attentions[1][row].mean(dim=0)
        wanted = by_hand(states[-length:], states[places], attention[-1, places])
        torch.testing.assert_close(selection.decision.scores[row], wanted, atol=1e-4, rtol=1e-4)


def _best(selection: Selection, count: int) -> torch.Tensor:
    """Return the indices (B, K) of the highest scores in the order of their places."""
    return selection.decision.scores.argsort(dim=1, descending=True)[:, :count].sort(dim=1).values
