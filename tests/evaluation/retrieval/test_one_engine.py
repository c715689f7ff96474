"""One engine for evaluation and inference: each image is encoded once, and every number is the model's own."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from bus_toolkit.errors import DataError
from bus_toolkit.evaluation.retrieval.image_tokens import ImageTokens
from bus_toolkit.evaluation.retrieval.pair_scoring import EncodedTexts, score_pairs
from bus_toolkit.evaluation.retrieval.reranking import Reranking, RerankSettings
from bus_toolkit.inference import ImageIndex
from bus_toolkit.inference.retrieval import Search, retrieve
from bus_toolkit.testing import tiny_batch, tiny_model

PAD = {"type": "PAD", "num_layers": 1, "num_heads": 4}


def test_cached_scores_equal_uncached_ones_bit_for_bit():
    model = tiny_model({"itm": {"type": "ITMHead"}}).eval()
    images, samples = tiny_batch()
    texts = [sample.text for sample in samples]
    pairs = [(image, text) for image in range(3) for text in range(3)]
    with torch.no_grad():
        cache = ImageTokens("VLPEvalLoop")
        cache.encode(model, images, [0, 1, 2])
        cached = score_pairs(model, cache, EncodedTexts(model, texts, 3), pairs, len(pairs))
        rows, words = (torch.tensor(part) for part in zip(*pairs, strict=True))
        text = model.encoders.encode_text(model.encoders.tokenize(texts)).index(words)
        visual = model.encoders.encode_visual(model.encoders.encode_shared(images).index(rows), text)
        uncached = model.heads["itm"].class_logits(model.encoders.fuse(text, visual, first_only=True))
    assert torch.equal(cached, uncached.float())
    assert len(cached.unique()) > 3, "each pair is a case of its own"


class Plain(nn.Module):
    def forward(self, data, training):
        return {"images": data["inputs"], "data_samples": data["data_samples"]}


class CountMoves(TorchFunctionMode):
    """Count the tokens (3-dimensional tensors) that are moved between devices, or asked to be."""

    def __init__(self):
        super().__init__()
        self.moved = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if getattr(func, "__name__", "") in ("to", "cpu", "cuda") and args and args[0].dim() == 3:
            self.moved.append(func)
        return func(*args, **(kwargs or {}))


@pytest.fixture
def counted():
    """Return a model with all heads of retrieval, and the list of the numbers of images that it encoded."""
    model = tiny_model({"itc": {"type": "ITCHead", "feature_dim": 8}, "itm": {"type": "ITMHead"}}).eval()
    model.data_preprocessor = Plain()
    rows, forward = [], model.backbone.forward_shared
    model.backbone.forward_shared = lambda images, *more: (rows.append(len(images)), forward(images, *more))[1]
    return model, rows


def batches(repeats: int = 1) -> list[dict]:
    """Return three images as two batches, each ``repeats`` times with a caption of its own."""
    images, samples = tiny_batch()
    rows = []
    for number in range(3):
        for again in range(repeats):
            sample = samples[number].clone()
            sample.set_field(3 * number + again, "text_id", dtype=None)
            rows.append((images[number], sample))
    return [
        {"inputs": torch.stack([row[0] for row in part]), "data_samples": [row[1] for row in part]}
        for part in (rows[: 2 * repeats - (repeats > 1)], rows[2 * repeats - (repeats > 1) :])
    ]


SETTINGS = RerankSettings(topk=2, batch_size=4, recall_k=(1,), itc_weight=0.0, device_memory=1.0, fp16=False)


@pytest.mark.parametrize("repeats", [1, 2])
def test_n_images_are_n_rows_before_the_first_selector_for_both_stages(counted, repeats):
    model, rows = counted
    reranking = Reranking(model, SETTINGS)
    with CountMoves() as moves:
        for batch in batches(repeats):
            reranking.predict(batch)
        assert sum(rows) == 3
        metrics = reranking.metrics()
    assert sum(rows) == 3 and "retrieval/rerank_i2t_R@1" in metrics
    assert moves.moved == []


@pytest.mark.parametrize("repeats", [1, 2])
def test_predictions_are_those_of_the_model_alone_to_the_last_bit(counted, repeats):
    model, _ = counted
    reranking = Reranking(model, SETTINGS)
    for batch, same in zip(batches(repeats), batches(repeats), strict=True):
        with torch.no_grad():
            alone = model.predict(same["inputs"], same["data_samples"])
        for one, two in zip(reranking.predict(batch), alone, strict=True):
            for name in ("image_feats", "paired_image_feats", "text_feats", "kept", "scores"):
                assert torch.equal(one.get(name), two.get(name)), name


def test_an_index_encodes_each_image_once_and_moves_no_tokens(counted):
    model, rows = counted
    for keep in (True, False):
        index = ImageIndex()
        with CountMoves() as moves, torch.no_grad():
            for batch in batches():
                index.add(model, batch, [str(row) for row in range(len(batch["inputs"]))], keep_tokens=keep)
        assert rows == [2, 1] and moves.moved == [] and len(index) == 3 and len(index.tokens) == (3 if keep else 0)
        rows.clear()


def test_evaluation_and_inference_rank_alike(counted):
    model, _ = counted
    reranking, index, texts = Reranking(model, SETTINGS), ImageIndex(), []
    for batch in batches():
        index.add(model, batch, [str(sample.image_id) for sample in batch["data_samples"]], keep_tokens=True)
        texts += [sample.text for sample in reranking.predict(batch)]
    for order in ((0.0, "margin"), (5.0, "margin"), (0.0, "logit")):
        found = retrieve(model, index, texts, Search(2, 2, "both", *order), batch_size=4)
        reranking.settings = replace(SETTINGS, itc_weight=order[0], match_score=order[1])
        first = [[hits[0]["index"] == query for query, hits in enumerate(found[way])] for way in ("i2t", "t2i")]
        metrics = reranking.metrics()
        for way, right in zip(("i2t", "t2i"), first, strict=True):
            assert metrics[f"retrieval/rerank_{way}_R@1"] == pytest.approx(sum(right) / 3)


def test_a_sample_without_an_image_id_is_named(counted):
    model, _ = counted
    (batch, _) = batches()
    batch["data_samples"][0].pop("image_id")
    with pytest.raises(DataError, match="re-ranked by their image_id, got a sample without one. Let the data set"):
        Reranking(model, SETTINGS).predict(batch)


@pytest.mark.parametrize(
    ("selector", "decoder", "encoded"), [("EViT", {"type": "Identity"}, 3), ("EViT", PAD, 3), ("TSPS", PAD, 9)]
)
def test_what_reads_no_text_runs_once_an_image_however_many_pairs_it_is_in(selector, decoder, encoded):
    parts = {"selectors": [{"type": selector, "blocks": [2], "keep_ratio": 0.5}], "decoder": decoder}
    model = tiny_model({"itm": {"type": "ITMHead"}}, **parts).eval()
    images, samples = tiny_batch()
    rows, words = torch.arange(3).repeat_interleave(3), torch.arange(3).repeat(3)
    seen = []
    model.backbone.adapter.layers[-1].register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape[0]))
    with torch.no_grad():
        text = model.encoders.encode_text(model.encoders.tokenize([sample.text for sample in samples])).index(words)
        shared = model.encoders.encode_shared(images)
        once = model.encoders.encode_pairs(shared, rows, text)
        assert seen == [encoded]
        each = model.encoders.encode_visual(shared.index(rows), text)
        fused = [model.encoders.fuse(text, visual).cls for visual in (once, each)]
    torch.testing.assert_close(*fused, rtol=1e-5, atol=1e-6)
