import torch

from bus_toolkit.evaluation.retrieval.ranking import build_retrieval_set
from bus_toolkit.evaluation.retrieval.rerank import choose_candidates, rerank, rerank_metrics


def _set(images, texts, owners):
    rows = [
        {
            "image_id": owner,
            "text_id": (row, row),
            "text": str(row),
            "image_feats": images[owner].numpy(),
            "text_feats": text.numpy(),
        }
        for row, (text, owner) in enumerate(zip(texts, owners, strict=True))
    ]
    return build_retrieval_set(rows)


def _metrics(data, candidates, scores, recall_k=(1,), itc_weight=0.0):
    rankings = rerank(data, candidates, scores, itc_weight)
    return rerank_metrics(data, candidates, scores, rankings, recall_k=recall_k)


def test_candidates_are_the_most_similar_and_the_hardest_caption_is_never_an_own_one():
    # Similarities: image 0 to its texts 0, 1: 1.0, 0.9; to text 2: 0.5; image 1: 0, 0.1, 0.8.
    data = _set(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.5, 0.8]]), [0, 0, 1])
    chosen = choose_candidates(data, 2)
    assert chosen.texts_of_image.tolist() == [[0, 1], [2, 1]]
    assert chosen.images_of_text.tolist() == [[0, 1], [0, 1], [1, 0]]
    assert chosen.hard_text.tolist() == [2, 1]


def test_a_query_whose_answer_was_not_proposed_keeps_its_first_stage_rank():
    # Three images in a row; the features of image 0 point at text 2, so its own text 0 is last (rank 2).
    eye = torch.eye(3)
    data = _set(torch.stack([0.1 * eye[0] + 0.9 * eye[2] + 0.2 * eye[1], eye[1], eye[2]]), eye, [0, 1, 2])
    candidates = choose_candidates(data, 2)
    scores = torch.ones(candidates.pairs(data).keys.shape[0])
    metrics = _metrics(data, candidates, scores, (1, 2, 3), 1.0)
    assert abs(metrics["retrieval/rerank_i2t_R@2"] - 2 / 3) < 1e-12
    assert metrics["retrieval/rerank_i2t_R@3"] == 1.0


def test_equal_match_logits_find_nothing():
    data = _set(torch.eye(3), torch.eye(3), [0, 1, 2])
    candidates = choose_candidates(data, 3)
    scores = torch.zeros(candidates.pairs(data).keys.shape[0])
    metrics = _metrics(data, candidates, scores)
    assert metrics["retrieval/rerank_t2i_R@1"] == 0.0
    assert metrics["itm/hard_accuracy"] == 0.0


def test_a_single_image_has_no_hard_caption():
    data = _set(torch.ones(1, 2), torch.ones(2, 2), [0, 0])
    candidates = choose_candidates(data, 5)
    assert candidates.hard_text.tolist() == [-1]
    metrics = _metrics(data, candidates, torch.zeros(candidates.pairs(data).keys.shape[0]))
    assert metrics == {"retrieval/rerank_i2t_R@1": 1.0, "retrieval/rerank_t2i_R@1": 1.0}
