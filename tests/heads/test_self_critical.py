"""The score of written captions trains the captioner: by the estimate of REINFORCE, written out slowly here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from bus_toolkit.caption_scores.cider_d import cider_d
from bus_toolkit.errors import DataError
from bus_toolkit.heads.caption import CaptionHead
from bus_toolkit.heads.caption_rewards import CaptionRewards
from bus_toolkit.heads.self_critical import SelfCriticalCaptionHead
from bus_toolkit.models.vlp import VLPModel
from bus_toolkit.step.step import Step
from bus_toolkit.structures import Condition
from tests.tiny import WIDTH, images
from tests.tiny_model import LETTERS, sample, tiny_model

SIZES: dict[str, Any] = {"embed_dim": WIDTH, "text_dim": WIDTH, "vocabulary": LETTERS}
REFERENCES = [["abc", "abd"], ["ef"], ["ghi", "gh"], ["lmn"]]


class Letters:
    """A reward of single letters: the share of those with an even number."""

    frequencies = None

    def __call__(
        self, captions: list[list[str]], references: list[list[str]], have_ended: list[list[bool]]
    ) -> list[list[float]]:
        assert len(captions) == len(references)
        return [[sum(ord(one) % 2 == 0 for one in text) / max(1, len(text)) for text in texts] for texts in captions]


def critical(**settings: Any) -> VLPModel:
    search = {"beam_size": 3, "max_length": 7}
    model = tiny_model(heads={"caption": SelfCriticalCaptionHead(**{**SIZES, "search": search, **settings})})
    model.heads["caption"].rewards = Letters()
    for name, weight in model.text_decoder.named_parameters():
        if "crossattention" in name and weight.dim() > 1:
            torch.nn.init.normal_(weight)  # random words that depend on the image
    return model


def rows() -> list[Any]:
    return [sample(texts[0], number, references=texts) for number, texts in enumerate(REFERENCES)]


@pytest.mark.slow
@pytest.mark.parametrize(("candidates", "baseline"), [("beam", "mean"), ("sample", "greedy"), ("sample", "mean")])
def test_the_gradient_is_that_of_the_slow_estimate(candidates: str, baseline: str) -> None:
    model = critical(candidates=candidates, baseline=baseline).eval()
    head, pictures = model.heads["caption"], images(4)
    out = model.loss(pictures, rows())
    names, weights = zip(*((n, w) for n, w in model.named_parameters() if w.requires_grad), strict=True)
    gradient = torch.autograd.grad(out["loss_caption"], weights, allow_unused=True)

    step = Step(model.passes(pictures, rows()))
    with torch.no_grad():
        texts = head._candidates(step, head.states(step.visual(Condition.FREE)))
        greedy = SelfCriticalCaptionHead(**SIZES, search={"beam_size": 1, "max_length": 7}, baseline="greedy").predict
        best = greedy(step)["pred_caption"]
    total, rewards = torch.zeros(()), []
    for row in range(4):
        memory = model(pictures[row : row + 1]).embeds
        mine = [model.tokenizer.decode(ids.tolist()) for ids in texts.input_ids[row]]
        scores = Letters()([mine], [REFERENCES[row]], [[True] * len(mine)])[0]
        given = Letters()([[best[row]]], [REFERENCES[row]], [[True]])[0][0] if baseline == "greedy" else sum(scores) / 3
        rewards += scores
        for ids, mask, score in zip(texts.input_ids[row], texts.attention_mask[row], scores, strict=True):
            length = int(mask.sum())
            log_prob = torch.zeros(())
            for place in range(1, length):
                tokens = type(texts)(ids[None, :place], mask[None, :place])
                logits = model.text_decoder(tokens, memory, torch.ones(memory.shape[:2], dtype=torch.bool))
                log_prob = log_prob + logits[0, -1].log_softmax(0)[ids[place]]
            if candidates == "beam":
                log_prob = log_prob / (length - 1) / length  # the search's mean, and mPLUG's share of a token
            total = total - (score - given) * log_prob / 12
    assert float(out["reward"]) == pytest.approx(sum(rewards) / 12)
    assert len(set(rewards)) > 2
    slow = torch.autograd.grad(total, weights, allow_unused=True)
    assert any(g is not None and g.abs().max() > 1e-4 for g in slow)
    for name, fast, wanted in zip(names, gradient, slow, strict=True):
        if wanted is None or fast is None:
            assert all(g is None or not g.any() for g in (wanted, fast)), name
        else:
            torch.testing.assert_close(fast, wanted, atol=1e-5, rtol=1e-3, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("candidates", ["beam", "sample"])
def test_a_short_training_raises_the_reward(candidates: str) -> None:
    model, pictures = critical(candidates=candidates).train(), images(4)
    optimizer = torch.optim.Adam([*model.text_decoder.parameters()], lr=1e-2)
    rewards = []
    for iteration in range(15):
        model.set_progress(0.0, iteration)
        out = model.loss(pictures, rows())
        optimizer.zero_grad()
        out["loss_caption"].backward()
        optimizer.step()
        rewards.append(float(out["reward"]))
    assert sum(rewards[-4:]) / 4 > sum(rewards[:4]) / 4 + 0.1


def test_a_captioner_and_its_second_stage_have_the_same_weights_and_write_the_same() -> None:
    first = tiny_model(heads={"caption": CaptionHead(**SIZES, search={"beam_size": 3, "max_length": 7})}).eval()
    second = critical().eval()
    second.load_state_dict(first.state_dict())
    with torch.no_grad():
        one, two = ([row.pred_caption for row in model.predict(images(4), rows())] for model in (first, second))
    assert one == two


def test_rewards_are_cider_d_with_the_document_frequencies_of_a_file(tmp_path: Path) -> None:
    corpus = [["a red dog", "the dog"], ["a cat runs"], ["a red car"]]
    notes = [{"image_id": number, "caption": text.upper()} for number, texts in enumerate(corpus) for text in texts]
    path = tmp_path / "captions.json"
    path.write_text(json.dumps({"images": [], "annotations": notes}))
    written = ["a red dog", "a cat", "a red car"]
    wanted = cider_d([text.split() for text in written], [[text.split() for text in texts] for texts in corpus])
    rewards = CaptionRewards(str(path))
    for image, texts in enumerate(corpus):
        alone = rewards([[written[image], "nothing"]], [texts], [[True, False]])
        assert alone == [[pytest.approx(wanted[image]), 0.0]]
    alone = CaptionRewards()([[text] for text in written], corpus, [[True]] * 3)
    assert alone == [[pytest.approx(score)] for score in wanted]


def test_with_ends_that_count_a_text_that_breaks_off_gains_less(tmp_path: Path) -> None:
    references = [["a dog sits on a red mat", "a dog on a mat"], ["a cat on a chair"], ["two cars"]]
    whole, broken = ["a dog on a mat"], ["a dog sits on a"]
    plain, with_ends = (CaptionRewards(count_end=count) for count in (False, True))
    others = [["a cat"], ["two cars"]]
    ended = [[True]] * 3
    scores = {
        name: [rewards([texts, *others], references, ended)[0][0] for texts in (whole, broken)]
        for name, rewards in (("plain", plain), ("with ends", with_ends))
    }
    assert scores["with ends"][1] / scores["with ends"][0] < 0.9 * scores["plain"][1] / scores["plain"][0]
    tokens = [[[*text.split(), "end"] for text in texts] for texts in references]
    wanted = cider_d([[*text[0].split(), "end"] for text in (whole, *others)], tokens)
    assert scores["with ends"][0] == pytest.approx(wanted[0])
    cut = with_ends([whole, *others], references, [[False], [True], [True]])[0][0]
    assert cut < scores["with ends"][0]  # all the words, but no end


def test_a_text_has_ended_if_its_ids_have_the_end() -> None:
    model = critical(candidates="sample", search={"beam_size": 24, "max_length": 4})
    head, seen = model.heads["caption"], []

    def note(captions: Any, references: Any, have_ended: list[list[bool]]) -> list[list[float]]:
        seen.extend(zip(sum(captions, []), sum(have_ended, []), strict=True))
        return [[0.0 for _ in texts] for texts in captions]

    head.rewards = note
    model.loss(images(4), rows())
    assert {ended for _, ended in seen} == {True, False}
    assert all(len(text) <= 3 - ended for text, ended in seen)  # [CLS] and at most three tokens, [SEP] one of them


@pytest.mark.parametrize("content", ["[]", "{}", '{"annotations": [{"caption": "a"}]}', "no json"])
def test_a_file_of_another_form_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "captions.json"
    path.write_text(content)
    with pytest.raises(DataError, match="reward.captions_file: .* is no file of COCO captions"):
        _ = CaptionRewards(str(path)).frequencies
    head = SelfCriticalCaptionHead(**SIZES, reward={"captions_file": str(tmp_path / "none.json")})
    with pytest.raises(DataError, match=r"reward.captions_file: .*none.json: cannot be read: No such file"):
        head.load_weights(None, "model.heads.caption")


def test_a_sample_without_references_is_refused() -> None:
    with pytest.raises(DataError, match="references: SelfCriticalCaptionHead compares .* Train on CaptionedImages"):
        critical().loss(images(4), [*rows()[:3], sample("lmn", 3)])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"candidates": "top"}, "candidates: must be beam or sample, got 'top'"),
        ({"baseline": "none"}, "baseline: must be mean or greedy, got 'none'"),
        ({"reward": {"corpus": "x"}}, "reward: it takes captions_file, count_end, got {'corpus': 'x'}"),
        ({"search": {"beam_size": 1}}, "search.beam_size: must be 2 or more with baseline 'mean', got 1"),
    ],
)
def test_settings_that_train_nothing_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SelfCriticalCaptionHead(**SIZES, **settings)
