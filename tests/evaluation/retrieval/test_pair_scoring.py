import pytest
import torch

from bus_toolkit.errors import DataError
from bus_toolkit.evaluation.retrieval.pair_scoring import PrefixCache, TextCache, score_pairs
from tests.evaluation.toy import ToyData, ToyModel, collate

CPU = torch.device("cpu")


def _cache(model: ToyModel) -> PrefixCache:
    data = ToyData()
    cache = PrefixCache("VLPEvalLoop")
    cache.add_batch(model, collate([data[row] for row in range(len(data))]))
    return cache


def test_each_pair_gets_the_score_of_its_own_image_and_caption():
    model = ToyModel()
    texts = TextCache(model, [f"picture {number}" for number in range(6)], 2, CPU)
    pairs = [(100, 0), (100, 5), (103, 3), (105, 0), (102, 1)]
    scores = score_pairs(model, _cache(model), texts, pairs, 2)
    torch.testing.assert_close(scores, torch.tensor([1.0, -4.0, 1.0, -4.0, 0.0]))


def test_no_pairs_give_no_scores():
    model = ToyModel()
    assert score_pairs(model, _cache(model), TextCache(model, [], 2, CPU), [], 2).shape == (0,)


def test_captions_are_padded_to_the_longest_of_the_chunk_only():
    texts = TextCache(ToyModel(), ["picture 2", "picture 3", "picture 4"], 8, CPU)
    assert texts.take([0, 2]).embeds.shape == (2, 1, 3)
    mixed = texts.take([0, 1])
    assert mixed.attention_mask.tolist() == [[True, False], [True, True]]
    assert mixed.embeds[:, :, 0].tolist() == [[2.0, 0.0], [3.0, 3.0]]


def test_a_cached_prefix_is_a_copy_on_the_cpu_and_can_be_forgotten():
    cache = _cache(ToyModel())
    taken = cache.take([101, 104], CPU)
    assert taken.tokens[:, 0, 0].tolist() == [1.0, 4.0]
    cache.keep_only({104})
    assert cache.ids() == [104]


def test_images_of_different_grids_are_refused_in_one_batch():
    model = ToyModel()
    cache = _cache(model)
    encode = model.encoders.encode_shared
    model.encoders.encode_shared = lambda images: type(encode(images))(encode(images).tokens, (1, 4), 1)
    other = collate([ToyData()[0]])
    other["data_samples"][0].image_id = 7
    cache.add_batch(model, other)
    with pytest.raises(DataError, match=r"one patch grid, got \[\(1, 4\), \(2, 2\)\]. Resize"):
        cache.take([100, 7], CPU)
