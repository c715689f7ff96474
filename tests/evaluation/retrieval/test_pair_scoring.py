import torch

from bus_toolkit.evaluation.retrieval.pair_scoring import EncodedTexts, score_pairs
from tests.evaluation.retrieval.test_image_tokens import toy_tokens
from tests.evaluation.toy import ToyModel


def test_each_pair_gets_the_score_of_its_own_image_and_caption():
    model = ToyModel()
    texts = EncodedTexts(model, [f"picture {number}" for number in range(6)], 2)
    pairs = [(100, 0), (100, 5), (103, 3), (105, 0), (102, 1)]
    scores = score_pairs(model, toy_tokens(model), texts, pairs, 2)
    torch.testing.assert_close(scores[:, 1], torch.tensor([1.0, -4.0, 1.0, -4.0, 0.0]))
    assert scores[:, 0].tolist() == [0.0] * 5


def test_no_pairs_give_no_scores():
    model = ToyModel()
    assert score_pairs(model, toy_tokens(model), EncodedTexts(model, [], 2), [], 2).shape == (0, 2)


def test_captions_are_padded_to_the_longest_of_the_chunk_only():
    texts = EncodedTexts(ToyModel(), ["picture 2", "picture 3", "picture 4"], 8)
    assert texts.take([0, 2]).embeds.shape == (2, 1, 3)
    mixed = texts.take([0, 1])
    assert mixed.attention_mask.tolist() == [[True, False], [True, True]]
    assert mixed.embeds[:, :, 0].tolist() == [[2.0, 0.0], [3.0, 3.0]]
