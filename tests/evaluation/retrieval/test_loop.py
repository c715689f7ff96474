import json

import pytest
import torch
from mmengine.structures import BaseDataElement
from torch import nn

from bus_toolkit.errors import ConfigError
from tests.evaluation.toy import NUM_IMAGES, ToyITM, ToyModel, build_runner, evaluate, evaluate_on_rank


def test_the_second_stage_puts_the_right_partner_first_where_the_first_stage_failed(tmp_path):
    metrics = build_runner(tmp_path).val()
    for way in ("i2t", "t2i"):
        assert metrics[f"retrieval/{way}_R@1"] == 0.0
        assert metrics[f"retrieval/{way}_R@5"] == 1.0
        assert metrics[f"retrieval/rerank_{way}_R@1"] == 1.0
    assert metrics["itm/hard_accuracy"] == 1.0


def test_without_re_ranking_only_the_first_stage_is_reported(tmp_path):
    model = ToyModel()
    metrics = build_runner(tmp_path, rerank_topk=0, model=model).val()
    assert not any("rerank" in key for key in metrics)
    assert model.prefix_images == model.scored_pairs == 0


def test_one_candidate_leaves_the_first_stage_as_it_is(tmp_path):
    metrics = build_runner(tmp_path, rerank_topk=1).val()
    for k in (1, 5, 10):
        assert metrics[f"retrieval/rerank_i2t_R@{k}"] == metrics[f"retrieval/i2t_R@{k}"]


@pytest.mark.parametrize("batch_size", [1, 3, 1000])
def test_the_chunk_size_does_not_change_the_result(tmp_path, batch_size):
    whole = build_runner(tmp_path, captions=2, rerank_topk=3).val()
    assert build_runner(tmp_path, captions=2, rerank_topk=3, rerank_batch_size=batch_size).val() == whole


def test_the_prefix_of_an_image_with_many_captions_is_computed_once(tmp_path):
    model = ToyModel()
    build_runner(tmp_path, captions=3, batch_size=4, model=model).val()
    assert model.prefix_images == NUM_IMAGES


def test_a_pair_that_both_directions_ask_for_is_scored_once(tmp_path):
    model = ToyModel()
    build_runner(tmp_path, rerank_topk=NUM_IMAGES, model=model).val()
    assert model.scored_pairs == NUM_IMAGES**2


def test_the_similarity_can_be_added_to_the_match_logit(tmp_path):
    # Own caption: logit 1 + w * 0.6; the next one: logit 0 + w * 0.8. From w = 5 on the first stage wins again.
    assert build_runner(tmp_path, itc_weight=4.0).val()["retrieval/rerank_i2t_R@1"] == 1.0
    metrics = build_runner(tmp_path, itc_weight=6.0).val()
    assert metrics["retrieval/rerank_i2t_R@1"] < 1.0
    assert metrics["itm/hard_accuracy"] == 1.0


def test_pairs_can_be_ordered_by_the_logit_of_match_alone(tmp_path, monkeypatch):
    def with_certain_nearest_wrong_pair(self, fused):
        distance = (fused.text[:, 0, 0] - fused.visual[:, 0, 0]).abs()
        # Own caption: 1 - 0; the next one: 3 - 4. ALBEF ranks by the second number alone.
        return torch.stack([4.0 * (distance == 1), (distance == 0) + 3.0 * (distance == 1)], dim=1)

    monkeypatch.setattr(ToyITM, "class_logits", with_certain_nearest_wrong_pair)
    assert build_runner(tmp_path).val()["retrieval/rerank_i2t_R@1"] == 1.0
    assert build_runner(tmp_path, match_score="logit").val()["retrieval/rerank_i2t_R@1"] < 0.5


def test_an_unknown_match_score_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"VLPEvalLoop.match_score: must be one of margin, logit, got 'sum'"):
        build_runner(tmp_path, match_score="sum").val()


@pytest.mark.parametrize("stage", ["val", "test"])
def test_losses_that_a_model_ends_its_samples_by_are_means_and_no_samples(tmp_path, monkeypatch, stage):
    model, plain = ToyModel(), getattr(build_runner(tmp_path, rerank_topk=0), stage)()
    losses = iter([1.0, 3.0, 5.0, 7.0, 9.0, 11.0, 13.0, 15.0])
    predict = getattr(model, f"{stage}_step")
    monkeypatch.setattr(
        model,
        f"{stage}_step",
        lambda batch: [*predict(batch), BaseDataElement(loss={"loss_fit": torch.tensor(next(losses))})],
    )
    metrics = getattr(build_runner(tmp_path, rerank_topk=0, model=model), stage)()
    batches = 0.5 * next(losses) - 0.5
    assert metrics == plain | {"loss_fit": pytest.approx(batches), f"{stage}_loss": pytest.approx(batches)}


def test_it_runs_as_a_test_loop_with_the_hooks_of_a_test(tmp_path):
    runner = build_runner(tmp_path)
    called = []
    original = runner.call_hook
    runner.call_hook = lambda name, **kwargs: (called.append(name), original(name, **kwargs))[1]
    runner.test()
    assert {"before_test", "before_test_iter", "after_test_iter", "after_test_epoch", "after_test"} <= set(called)
    assert not any("val" in name for name in called)


def test_a_model_without_a_matching_head_cannot_re_rank(tmp_path):
    model = ToyModel()
    model.heads = nn.ModuleDict({"itc": nn.Identity()})
    with pytest.raises(
        ConfigError, match=r"rerank_topk: re-ranking needs an ITCHead and an ITMHead, got \['itc'\]. Add them"
    ):
        build_runner(tmp_path, model=model).val()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"rerank_topk": -1}, "must not be negative, got -1"),
        ({"rerank_batch_size": 0}, "must be at least 1, got 0"),
        ({"recall_k": [0, 5]}, r"VLPEvalLoop.recall_k: must be whole numbers of 1 or more, got \[0, 5\]"),
    ],
)
def test_impossible_settings_are_named(tmp_path, setting, message):
    with pytest.raises(ConfigError, match=message):
        build_runner(tmp_path, **setting).val()


def test_two_wrapped_processes_report_and_write_what_one_does(tmp_path, two_ranks):
    # 15 samples: the sampler repeats one, and the three captions of an image lie on both ranks.
    single = evaluate(tmp_path / "single")
    (tmp_path / "double").mkdir()
    assert two_ranks(evaluate_on_rank, tmp_path / "double") == [single, single]
    lines = [json.loads(line) for line in single[1].splitlines()]
    assert [line["id"] for line in lines if line["kind"] == "t2i"] == list(range(15))
    for kind in ("i2t", "t2i", "rerank_i2t", "rerank_t2i"):
        right = [line["correct"] for line in lines if line["kind"] == kind]
        assert sum(right) / len(right) == single[0][f"retrieval/{kind}_R@1"]
