"""What the cache keeps of an image is what the model would compute, to the last bit, for every pair."""

from __future__ import annotations

import torch
from torch import nn

from bus_toolkit.evaluation.retrieval.pair_scoring import PrefixCache, TextCache, score_pairs
from bus_toolkit.testing.model import tiny_batch, tiny_model


class Plain(nn.Module):
    def forward(self, data, training):
        return {"images": data["inputs"], "data_samples": data["data_samples"]}


def test_cached_scores_equal_uncached_ones_bit_for_bit():
    model = tiny_model({"itm": {"type": "ITMHead"}}).eval()
    model.data_preprocessor = Plain()
    images, samples = tiny_batch()
    texts = [sample.text for sample in samples]
    pairs = [(image, text) for image in range(3) for text in range(3)]
    with torch.no_grad():
        cache = PrefixCache("VLPEvalLoop")
        cache.add_batch(model, {"inputs": images, "data_samples": samples})
        cached = score_pairs(model, cache, TextCache(model, texts, 3, torch.device("cpu")), pairs, len(pairs))
        rows, words = (torch.tensor(part) for part in zip(*pairs, strict=True))
        text = model.encoders.encode_text(model.encoders.tokenize(texts)).index(words)
        visual = model.encoders.encode_visual(model.encoders.encode_shared(images).index(rows), text)
        uncached = model.heads["itm"].match_logits(model.encoders.fuse(text, visual))
    assert torch.equal(cached, uncached.float())
    assert len(cached.unique()) > 3, "each pair is a case of its own"
