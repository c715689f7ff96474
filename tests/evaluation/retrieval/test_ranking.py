import pytest
import torch

from bus_toolkit.evaluation.retrieval.ranking import best_match_ranks, build_retrieval_set, recall_at, retrieval_row


def _slow_ranks(queries, candidates, query_ids, candidate_ids):
    ranks = []
    for query, own in zip(queries, query_ids, strict=True):
        scored = [(float(query @ c), int(i) == int(own)) for c, i in zip(candidates, candidate_ids, strict=True)]
        best = max(score for score, right in scored if right)
        ranks.append(sum(not right and score >= best for score, right in scored))
    return ranks


@pytest.mark.parametrize("chunk_size", [1, 3, 100])
def test_ranks_agree_with_counting_one_by_one(chunk_size):
    generator = torch.Generator().manual_seed(0)
    # Small whole numbers: many ties.
    queries = torch.randint(-2, 3, (7, 3), generator=generator).float()
    candidates = torch.randint(-2, 3, (11, 3), generator=generator).float()
    query_ids, candidate_ids = torch.arange(7), torch.arange(11) % 7
    ranks = best_match_ranks(queries, candidates, query_ids, candidate_ids, chunk_size)
    assert ranks.tolist() == _slow_ranks(queries, candidates, query_ids, candidate_ids)


def test_a_collapsed_and_a_diverged_model_find_nothing():
    ids = torch.arange(4)
    for feats in (torch.ones(4, 2), torch.full((4, 2), float("nan"))):
        assert best_match_ranks(feats, feats, ids, ids).tolist() == [3, 3, 3, 3]


def test_recall_counts_the_ranks_below_k():
    assert recall_at(torch.tensor([0, 1, 4, 9]), (1, 5, 10), "i2t_") == {
        "i2t_R@1": 0.25,
        "i2t_R@5": 0.75,
        "i2t_R@10": 1.0,
    }


def test_images_and_captions_that_come_again_count_once():
    def sample(image, text):
        return {
            "image_id": image,
            "text_id": text,
            "text": "",
            "image_feats": torch.ones(2),
            "text_feats": torch.ones(2),
        }

    # Image 3 has captions 0 and 1; image 5 numbers its own caption 0 too; the last row is padding.
    rows = [retrieval_row(sample(*ids)) for ids in [(3, 0), (5, 0), (3, 1), (3, 0)]]
    data = build_retrieval_set(rows)
    assert data.image_ids == [3, 5]
    assert data.image_of_text.tolist() == [0, 1, 0]
    assert data.first_text.tolist() == [0, 1]


def test_a_sample_without_features_adds_nothing():
    assert retrieval_row({"image_id": 1, "text": "a"}) == {}


def test_features_in_float64_stay_so():
    row = {"image_feats": torch.tensor([1.0, 1e-12], dtype=torch.float64), "text_feats": torch.ones(2), "image_id": 0}
    data = build_retrieval_set([retrieval_row(row)])
    assert (data.image_feats.dtype, data.text_feats.dtype) == (torch.float64, torch.float32)
