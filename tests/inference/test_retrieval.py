"""Search: what is found, in which order, and what re-ranking changes."""

from __future__ import annotations

from itertools import chain, cycle

import pytest
import torch

from bus_toolkit.errors import ComponentError, ConfigError, DataError
from bus_toolkit.inference.inputs import as_images
from tests.inference.toy import TEXTS, without_head


@pytest.fixture
def features(inferencer, pictures):
    index = inferencer.index(pictures)
    texts = inferencer.model.encoders.encode_text(inferencer.model.encoders.tokenize(list(TEXTS)))
    return index.feats, inferencer.model.heads["itc"].text_feats(texts)


def match_probability(inferencer, picture, text):
    """Return it the slow way: one pair as a batch of its own, through the step of the model."""
    predictor = inferencer._predictor
    ((_, batch),) = predictor.batches(as_images(picture), [text])
    step = predictor.step(batch)
    logit = inferencer.model.heads["itm"].match_logits(step.encoders.fuse(step.text, step.visual()))
    return logit.sigmoid().item()


def places(found):
    return [[hit["index"] for hit in hits] for hits in found]


def test_both_directions_are_sorted_by_cosine(inferencer, pictures, features):
    similarity = features[0] @ features[1].T
    found = inferencer.retrieve(pictures, TEXTS, topk=2)
    assert set(found) == {"i2t", "t2i"}
    for way, key, names, scores in (("i2t", "text", TEXTS, similarity), ("t2i", "image", pictures, similarity.T)):
        order = scores.argsort(dim=1, descending=True)[:, :2].tolist()
        assert [[hit["index"] for hit in hits] for hits in found[way]] == order
        for query, hits in enumerate(found[way]):
            for hit in hits:
                assert set(hit) == {"index", key, "score"} and hit[key] == names[hit["index"]]
                assert hit["score"] == pytest.approx(scores[query, hit["index"]].item(), abs=1e-5)
                assert -1.0 <= hit["score"] <= 1.0


@pytest.mark.parametrize(
    ("head", "what"), [("itc", "the features of the texts"), ("itm", "the match logits of the pairs")]
)
def test_what_is_nan_ranks_nothing(inferencer, pictures, monkeypatch, head, what):
    index = inferencer.index(pictures, rerank=True)
    method = "text_feats" if head == "itc" else "class_logits"
    real = getattr(inferencer.model.heads[head], method)
    monkeypatch.setattr(inferencer.model.heads[head], method, lambda *args: real(*args) * float("nan"))
    with pytest.raises(ComponentError, match=rf"Inferencer: {what} must be numbers, got NaN, so nothing can be ranked"):
        inferencer.retrieve(index, TEXTS, rerank=2)


def test_one_direction_is_a_bare_list(inferencer, pictures):
    both = inferencer.retrieve(pictures, TEXTS, rerank=2)
    for way in ("i2t", "t2i"):
        one = inferencer.retrieve(pictures, TEXTS, rerank=2, direction=way)
        assert places(one) == places(both[way])
        for hit, expected in zip(chain(*one), chain(*both[way]), strict=True):
            assert hit["match"] == (None if expected["match"] is None else pytest.approx(expected["match"], abs=1e-5))


def test_re_ranking_orders_the_best_by_matching_under_the_text_of_the_pair(inferencer, pictures, features):
    similarity = features[0] @ features[1].T
    found = inferencer.retrieve(pictures, TEXTS, rerank=2, direction="i2t")
    for query, hits in enumerate(found):
        near = similarity[query].topk(2).indices.tolist()
        matches = {text: match_probability(inferencer, pictures[query], TEXTS[text]) for text in near}
        assert [hit["index"] for hit in hits[:2]] == sorted(near, key=lambda text: -matches[text])
        for hit in hits[:2]:
            assert hit["match"] == pytest.approx(matches[hit["index"]], abs=1e-5)
        assert hits[2]["match"] is None and hits[2]["index"] not in near


def test_the_weight_of_the_cosine_is_that_of_the_config(inferencer, pictures):
    inferencer.cfg.test_cfg.itc_weight = 1e6
    try:
        weighted = inferencer.retrieve(pictures, TEXTS, rerank=3)
    finally:
        del inferencer.cfg.test_cfg["itc_weight"]
    plain = inferencer.retrieve(pictures, TEXTS)
    assert [places(weighted[way]) for way in plain] == [places(plain[way]) for way in plain]


def test_the_match_score_is_that_of_the_config_and_the_probability_stays(inferencer, pictures, monkeypatch):
    # Pairs are scored in the order of images, then texts, some at a time: the margins of an image are 1, -1 and 2.5.
    logits = cycle(torch.tensor([[0.0, 1.0], [3.0, 2.0], [-2.0, 0.5]]))
    scored = lambda fused: torch.stack([next(logits) for _ in fused.text])  # noqa: E731
    monkeypatch.setattr(inferencer.model.heads["itm"], "class_logits", scored)
    index = inferencer.index(pictures, rerank=True)
    orders = {}
    for score in ("margin", "logit"):
        inferencer.cfg.test_cfg.match_score = score
        try:
            orders[score] = inferencer.retrieve(index, TEXTS[:3], rerank=3, direction="i2t")[0]
        finally:
            del inferencer.cfg.test_cfg["match_score"]
    assert [hit["index"] for hit in orders["margin"]] == [2, 0, 1]
    assert [hit["index"] for hit in orders["logit"]] == [1, 0, 2]
    assert orders["logit"][0]["match"] == pytest.approx(torch.tensor(-1.0).sigmoid().item())


def test_an_index_is_searched_many_times(inferencer, pictures):
    index = inferencer.index(pictures, rerank=True)
    assert len(index) == 3 and index.names == pictures
    torch.testing.assert_close(index.feats.norm(dim=1), torch.ones(3))
    for text in TEXTS:
        found = inferencer.retrieve(index, text, rerank=2, direction="t2i")
        assert found == inferencer.retrieve(pictures, text, rerank=2, direction="t2i")
    features_only = inferencer.index(pictures)
    assert torch.equal(features_only.feats, index.feats)
    with pytest.raises(ConfigError, match=r"the index holds features only. Make it with index\(images, rerank=True\)"):
        inferencer.retrieve(features_only, TEXTS, rerank=2)


def test_the_same_image_twice_is_found_twice(inferencer, pictures):
    (hits,) = inferencer.retrieve([pictures[0], pictures[0]], TEXTS[0], direction="t2i")
    assert {hit["index"] for hit in hits} == {0, 1} and hits[0]["score"] == pytest.approx(hits[1]["score"], abs=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"topk": 0}, "Inferencer.retrieve.topk: must be 1 or more, got 0"),
        ({"rerank": 0}, "Inferencer.retrieve.rerank: must be 1 or more, got 0"),
        ({"direction": "t2t"}, "Inferencer.retrieve.direction: must be one of both, i2t, t2i, got 't2t'"),
    ],
)
def test_impossible_settings_are_reported(inferencer, pictures, settings, message):
    with pytest.raises(ConfigError, match=message):
        inferencer.retrieve(pictures, TEXTS, **settings)


def test_re_ranking_needs_a_matching_head(inferencer, pictures):
    with without_head(inferencer, "itm"):
        with pytest.raises(ConfigError, match=r"retrieve\(rerank=...\): model.heads must hold ITMHead .*, got itc"):
            inferencer.retrieve(pictures, TEXTS, rerank=2)
        assert inferencer.retrieve(pictures, TEXTS)


def test_an_empty_text_is_reported(inferencer, pictures):
    with pytest.raises(DataError, match=r"texts\[1\]: must be a string with at least one word"):
        inferencer.retrieve(pictures, ["a dog", ""])
