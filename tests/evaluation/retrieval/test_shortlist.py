"""A shortlist: its candidates come first, under their text, and only they are encoded under one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from bus_toolkit.errors import ConfigError
from bus_toolkit.evaluation.retrieval.image_tokens import ImageTokens
from bus_toolkit.evaluation.retrieval.loop import _check_shortlist
from bus_toolkit.evaluation.retrieval.pair_scoring import EncodedTexts, score_pairs
from bus_toolkit.evaluation.retrieval.pairs import Pairs
from bus_toolkit.evaluation.retrieval.reranking import Reranking, RerankSettings
from bus_toolkit.evaluation.retrieval.shortlist import Shortlist
from bus_toolkit.step import PassKey
from bus_toolkit.structures import Condition
from bus_toolkit.testing import tiny_batch, tiny_model

HEADS = {"itc": {"type": "ITCHead", "feature_dim": 8}, "itm": {"type": "ITMHead"}}
SETTINGS = RerankSettings(topk=3, batch_size=4, recall_k=(1, 2), itc_weight=0.0, device_memory=1.0, fp16=False)


class Plain(nn.Module):
    def forward(self, data, training):
        return {"images": data["inputs"], "data_samples": data["data_samples"]}


def test_those_on_the_list_come_first_and_the_others_follow_in_their_own_order():
    # One query with four candidates; without text the order is 2, 0, 3, 1, and two are on the list.
    wanted = torch.tensor([[0, 1, 2, 3]])
    shortlist = Shortlist(Pairs(wanted[0], 4), torch.tensor([30.0, 10.0, 40.0, 20.0]), 2)
    assert shortlist.lists(wanted).tolist() == [[True, False, True, False]]
    assert shortlist.keys(wanted).tolist() == [0, 2]
    exact = torch.tensor([[-7.0, float("nan"), -9.0, float("nan")]])
    assert shortlist.ordered(exact, wanted).argsort(descending=True).tolist() == [[0, 2, 3, 1]]


def test_scores_that_are_no_numbers_find_nothing():
    wanted = torch.tensor([[0, 1, 2]])
    shortlist = Shortlist(Pairs(wanted[0], 3), torch.tensor([3.0, 2.0, 1.0]), 2)
    nothing = torch.full((1, 3), float("nan"))
    assert shortlist.ordered(nothing, wanted).isnan().all()


def test_without_text_a_pair_is_scored_on_the_image_of_a_pass_without_text():
    model = tiny_model(HEADS).eval()
    images, samples = tiny_batch()
    texts = [sample.text for sample in samples]
    pairs = [(image, text) for image in range(3) for text in range(3)]
    with torch.no_grad():
        cache = ImageTokens("VLPEvalLoop")
        cache.encode(model, images, [0, 1, 2])
        scores = score_pairs(model, cache, EncodedTexts(model, texts, 3), pairs, 9, select_by_text=False)
        passes = model.passes(images, samples)
        rows, words = (torch.tensor(part) for part in zip(*pairs, strict=True))
        visual, text = passes.visual(PassKey(Condition.FREE)), passes.texts.captions.index(words)
        wanted = model.heads["itm"].class_logits(model.encoders.fuse(text, visual.index(rows)))
    torch.testing.assert_close(scores, wanted)


@pytest.fixture
def reranked():
    """Return what evaluates three images with three texts by a shortlist, and how many pairs were encoded by text."""

    def evaluate(shortlist: int):
        model = tiny_model(HEADS).eval()
        model.data_preprocessor = Plain()
        encoded, encode = [], model.encoders.encode_pairs

        def counted(shared, rows, text):
            encoded.append(len(rows))
            return encode(shared, rows, text)

        object.__setattr__(model.encoders, "encode_pairs", counted)
        reranking = Reranking(model, replace(SETTINGS, shortlist=shortlist))
        images, samples = tiny_batch()
        reranking.predict({"inputs": images, "data_samples": samples})
        return reranking.metrics(), sum(encoded)

    return evaluate


def test_only_the_pairs_on_the_list_are_encoded_under_their_text(reranked):
    exact, all_pairs = reranked(0)
    short, listed = reranked(1)
    assert all_pairs == 9 and listed < 9 and short.keys() == exact.keys()
    assert short["itm/hard_accuracy"] == exact["itm/hard_accuracy"]  # these pairs are scored under their text anyway


def test_a_shortlist_of_all_candidates_ranks_as_without(reranked):
    assert reranked(3) == reranked(0)


def test_a_shortlist_without_effect_is_refused():
    model = tiny_model(HEADS)
    _check_shortlist(0, 0, model)
    _check_shortlist(2, 3, model)
    for count in (-1, 3, 4):
        with pytest.raises(ConfigError, match=rf"must be below rerank_topk \(3\), and 0 or more, got {count}"):
            _check_shortlist(count, 3, model)
    blind = tiny_model(HEADS, selectors=[], decoder={"type": "Identity"})
    with pytest.raises(ConfigError, match="has no effect, got 2: no selector and no decoder of the model reads a text"):
        _check_shortlist(2, 3, blind)
