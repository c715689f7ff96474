"""Answers are learned from all people's answers by their share, and written or chosen."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from bus_toolkit.heads.vqa import VQAHead
from bus_toolkit.models.vlp import VLPModel
from bus_toolkit.ops import collective
from bus_toolkit.testing import check_head
from tests.tiny import images
from tests.tiny_model import LETTERS, sample, tiny_heads, tiny_model

SIZES: dict[str, Any] = {"vocabulary": LETTERS}
QUESTIONS = ["abcd", "ef", "ghijk", "lmn"]
ANSWERS: list[Any] = [["x", "yz"], ["w"], None, ["yz", "x", "vvv"]]
SHARES: list[Any] = [[0.7, 0.3], [1.0], None, [0.5, 0.3, 0.1]]


def answerer(mode: str = "shared", **settings: Any) -> VLPModel:
    torch.manual_seed(1)
    return tiny_model(mode, heads={"vqa": VQAHead(**{**SIZES, **settings})})


def rows(answers: list[Any] | None = None, shares: list[Any] | None = None) -> list[Any]:
    answers, shares = answers or ANSWERS, shares or SHARES
    return [
        sample(text, number, **({} if own is None else {"gt_answer": own, "gt_answer_weight": weights}))
        for number, (text, own, weights) in enumerate(zip(QUESTIONS, answers, shares, strict=True))
    ]


def answered(model: VLPModel, pictures: torch.Tensor, samples: list[Any]) -> list[str]:
    with torch.no_grad():
        return [out.pred_answer for out in model.eval().predict(pictures, samples)]


@pytest.mark.parametrize("mode", ["shared", "free_itc", "strict"])
def test_the_loss_is_that_of_each_answer_by_its_share_given_question_and_image(mode: str) -> None:
    """One question and one answer at a time, from the parts of the model."""
    model, pictures = answerer(mode).eval(), images(4)
    total, weight = 0.0, 0.0
    with torch.no_grad():
        for row, (question, own, shares) in enumerate(zip(QUESTIONS, ANSWERS, SHARES, strict=True)):
            text = model.encoders.encode_text(model.encoders.tokenize([question]))
            fused = model.encoders.fuse(text, model.encode(pictures[row : row + 1], [question]))
            memory = torch.cat([fused.visual, fused.text], dim=1)
            for answer, share in zip(own or [], shares or [], strict=True):
                tokens = model.encoders.tokenize([answer])
                logits = model.text_decoder(tokens, memory)
                losses = F.cross_entropy(logits[0, :-1], tokens.input_ids[0, 1:], reduction="none")
                total, weight = total + share * float(losses.sum()), weight + share * len(losses)
        loss = float(model.loss(pictures, rows())["loss_vqa"])
    assert loss == pytest.approx(total / weight, rel=1e-4)


def test_a_sample_without_answers_gives_no_term() -> None:
    model, pictures = answerer().eval(), images(4)
    with torch.no_grad():
        loss = model.loss(pictures, rows())["loss_vqa"]
        other = pictures.clone()
        other[2] = 0.0
        torch.testing.assert_close(model.loss(other, rows())["loss_vqa"], loss)
        other[1] = 0.0
        assert not torch.isclose(model.loss(other, rows())["loss_vqa"], loss)


def test_a_batch_without_answers_gives_zero_with_a_gradient_of_zero() -> None:
    model = answerer()
    loss = model.loss(images(4), rows([None] * 4, [None] * 4))["loss_vqa"]
    loss.backward()
    assert loss == 0.0
    assert all(not parameter.grad.any() for parameter in model.text_decoder.parameters() if parameter.grad is not None)
    assert any(parameter.grad is not None for parameter in model.text_decoder.parameters())


def test_it_trains_beside_other_heads_and_leaves_rows_without_a_question_to_them() -> None:
    model = tiny_model(heads={**tiny_heads(), "vqa": VQAHead(**SIZES)})
    samples = rows()
    samples[3].set_field(True, "region_only", dtype=None)
    alone = answerer(**{})
    alone.load_state_dict(model.state_dict(), strict=False)
    losses = model.eval().loss(images(4), samples)
    torch.testing.assert_close(losses["loss_vqa"], alone.eval().loss(images(4)[:3], samples[:3])["loss_vqa"])
    assert {"loss_itc", "loss_itm", "loss_mlm", "loss_prefix_lm", "loss_ptm", "loss_vqa"} <= set(losses)


def test_label_smoothing_is_passed_on() -> None:
    plain, smooth = answerer().eval(), answerer(label_smoothing=0.1).eval()
    with torch.no_grad():
        assert plain.loss(images(4), rows())["loss_vqa"] != smooth.loss(images(4), rows())["loss_vqa"]


@pytest.mark.slow
def test_answers_that_depend_on_image_and_question_are_learned_by_heart() -> None:
    """Two images and two questions in all four pairs: neither alone gives the answer."""
    pictures = images(2)[[0, 0, 1, 1]]
    questions, answers = ["ab", "cd", "ab", "cd"], ["x", "yz", "wv", "x"]
    samples = [sample(q, k // 2, gt_answer=a) for k, (q, a) in enumerate(zip(questions, answers, strict=True))]
    model = answerer(search={"beam_size": 2, "max_length": 6})
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(80):
        optimizer.zero_grad()
        loss = model.train().loss(pictures, samples)["loss_vqa"]
        loss.backward()
        optimizer.step()
    assert loss < 0.1
    assert answered(model, pictures, samples) == answers
    model.heads["vqa"] = VQAHead(**SIZES, inference="rank", answer_list=["q", "wv", "x", "yz", "yx"])
    assert answered(model, pictures, samples) == answers
    model.heads["vqa"] = VQAHead(**SIZES, inference="rank", answer_list=["q", "wv", "x", "yz", "yx"], rank_topk=2)
    assert answered(model, pictures, samples) == answers


def test_an_answer_does_not_depend_on_the_other_questions_of_the_batch_or_on_the_answers() -> None:
    for settings in ({}, {"inference": "rank", "answer_list": ["x", "yz", "wvu", "t"]}):
        model, pictures = answerer(**settings), images(4)
        together = answered(model, pictures, rows())
        alone = [answered(model, pictures[k : k + 1], [sample(QUESTIONS[k], 9)])[0] for k in range(4)]
        assert together == alone


@pytest.mark.slow
def test_ranking_keeps_the_promises_of_heads_too() -> None:
    check_head("VQAHead", inference="rank", answer_list=["red", "blue", "no"], rank_topk=2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"inference": "guess"}, "inference: must be generate or rank, got 'guess'"),
        ({"answer_list": ["a"]}, "answer_list: has no effect with inference 'generate'"),
        ({"rank_topk": 2}, "rank_topk: has no effect with inference 'generate', got 2"),
        ({"inference": "rank"}, "answer_list: inference 'rank' chooses from a list of answers, got none"),
        ({"inference": "rank", "answer_list": ["a", "a"]}, "answer_list: the list has 'a' twice"),
        ({"inference": "rank", "answer_list": ["a"], "search": {}}, "search: has no effect with inference 'rank'"),
        ({"inference": "rank", "answer_list": ["a", "b"], "rank_topk": 3}, "rank_topk: must be between 1 and 2"),
        ({"search": {"beams": 2}}, "search: it takes beam_size, max_length, .* got {'beams': 2}"),
        ({"search": {"max_length": 13}}, r"search.max_length: must be between 3 .* \(12\), got 13"),
    ],
)
def test_says_which_setting_is_wrong(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VQAHead(**SIZES, **settings)


def test_a_rank_without_answers_takes_part_in_the_sum_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two ranks one after the other; the second one has the rows 1 and 3, without answers. Every rank must sum once."""
    samples = rows([ANSWERS[0], None, ["wvu"], None], [SHARES[0], None, [1.0], None])
    model, pictures = answerer().eval(), images(4)
    with torch.no_grad():
        expected = model.loss(pictures, samples)["loss_vqa"]
        monkeypatch.setattr(collective, "world_size", lambda: 2)
        sums: list[float] = []

        def loss_of(rank: int, other_weights: float) -> torch.Tensor:
            def all_reduce(total: torch.Tensor) -> None:
                sums.append(float(total))
                total += other_weights

            monkeypatch.setattr(collective.dist, "all_reduce", all_reduce)
            return model.loss(pictures[rank::2], samples[rank::2])["loss_vqa"]

        own = [(loss_of(rank, 0.0), sums.pop())[1] for rank in (0, 1)]
        losses = [loss_of(0, own[1]), loss_of(1, own[0])]
    assert own[1] == 0.0 and len(sums) == 2
    torch.testing.assert_close(torch.stack(losses).mean(), expected)
