"""Real weights: all-MiniLM-L6-v2 gives the same sentence similarities as in transformers. Opt-in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
import transformers as hf
from torch import Tensor
from torch.nn import functional as F

from bus_toolkit.structures import TokenBatch
from bus_toolkit.text_encoders.bert import BertTextEncoder
from bus_toolkit.weights.loading import load_pretrained

FOLDER = os.environ.get("BUS_TOOLKIT_MINILM", "")
SENTENCES = [
    "A dog chases a frisbee in the park.",
    "A puppy runs after a disc on the grass.",
    "Two plates of pasta stand on a table.",
    "The stock market fell on Monday.",
]

pytestmark = pytest.mark.skipif(not FOLDER, reason="BUS_TOOLKIT_MINILM names no folder of all-MiniLM-L6-v2")


def similarities(states: Tensor, mask: Tensor) -> Tensor:
    """Return cosines (B, B) of the mean over the words, as the model's card says."""
    weights = mask.unsqueeze(-1).to(states.dtype)
    pooled = F.normalize((states * weights).sum(dim=1) / weights.sum(dim=1), dim=1)
    return pooled @ pooled.T


@torch.no_grad()
def test_sentence_similarities_are_those_of_transformers() -> None:
    folder = Path(FOLDER).expanduser()
    words = hf.AutoTokenizer.from_pretrained(folder, local_files_only=True)(
        SENTENCES, padding=True, return_tensors="pt"
    )
    batch = TokenBatch(words["input_ids"], words["attention_mask"].bool())
    source = hf.AutoModel.from_pretrained(folder, local_files_only=True).eval()
    expected = similarities(source(**words).last_hidden_state, batch.attention_mask)
    sizes = {"vocab_size": 30522, "pad_token_id": 0, "num_layers": 6, "hidden_size": 384, "num_heads": 12}
    module = BertTextEncoder(**sizes).eval()  # type: ignore[arg-type]
    report = load_pretrained(module, folder, part="model.text_encoder")
    found = similarities(module(batch).embeds, batch.attention_mask)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert not report.missing and not report.resized
    # What these weights are for: the two dogs are nearer to each other than to anything else.
    assert found[0, 1] > 0.4 and found[0, 1] > found[0, 2:].max() + 0.2
    print(f"\n{found}\nlargest difference {(found - expected).abs().max():.1e}")
