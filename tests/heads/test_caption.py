"""A caption is learned and written from the image alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from bus_toolkit.errors import ConfigError
from bus_toolkit.heads.caption import CaptionHead
from bus_toolkit.models.vlp import VLPModel
from bus_toolkit.step.step import Step
from bus_toolkit.structures import TokenBatch
from tests.tiny import WIDTH, images
from tests.tiny_model import LETTERS, sample, samples, tiny_heads, tiny_model

SIZES: dict[str, Any] = {
    "embed_dim": WIDTH,
    "text_dim": WIDTH,
    "vocabulary": LETTERS,
}


def captioner(mode: str = "shared", without_text: str = "cls", **settings: Any) -> VLPModel:
    torch.manual_seed(1)
    return tiny_model(mode, without_text, heads={"caption": CaptionHead(**{**SIZES, **settings})})


def written(model: VLPModel, texts: list[str], numbers: list[int], pictures: torch.Tensor) -> list[str]:
    rows = [sample(text, number) for text, number in zip(texts, numbers, strict=True)]
    with torch.no_grad():
        return [out.pred_caption for out in model.eval().predict(pictures, rows)]


@pytest.mark.parametrize("without_text", ["cls", "prompt", "none"])
@pytest.mark.parametrize("mode", ["shared", "free_itc", "strict"])
def test_the_loss_is_that_of_every_token_after_cls_given_text_free_visual_tokens(mode: str, without_text: str) -> None:
    model = captioner(mode, without_text).eval()
    pictures = images(4)
    tokens = model.encoders.tokenize([row.text for row in samples()])
    with torch.no_grad():
        visual = model(pictures).embeds
        logits = model.text_decoder(tokens, visual, torch.ones(visual.shape[:2], dtype=torch.bool))
        wanted = tokens.attention_mask[:, 1:]
        expected = F.cross_entropy(logits[:, :-1][wanted], tokens.input_ids[:, 1:][wanted])
        torch.testing.assert_close(model.loss(pictures, samples())["loss_caption"], expected)


def test_the_image_is_encoded_without_the_caption_beside_heads_that_use_it() -> None:
    """The decoder reads the same states whatever the captions of the batch, and no fusion is run for it."""
    model = tiny_model(heads={**tiny_heads(), "caption": CaptionHead(**SIZES)}).eval()
    read: list[torch.Tensor] = []
    model.text_decoder.register_forward_hook(lambda module, args, out: read.append(args[1]))
    for texts in (["abcd", "ef", "ghijk", "lmn"], ["zz", "yyy", "xx", "w"]):
        model.loss(images(4), [sample(text, number) for number, text in enumerate(texts)])
    of_caption = [states for states in read if states.shape[1] == model(images(4)).embeds.shape[1]]
    assert len(of_caption) == 2
    assert torch.equal(*of_caption)


def test_label_smoothing_is_passed_on() -> None:
    plain, smooth = captioner().eval(), captioner(label_smoothing=0.1).eval()
    with torch.no_grad():
        losses = [model.loss(images(4), samples())["loss_caption"] for model in (plain, smooth)]
    assert losses[0] != losses[1]


def test_what_is_written_does_not_depend_on_the_captions() -> None:
    model = captioner()
    pictures = images(4)
    one = written(model, ["abcd", "ef", "ghijk", "lmn"], [0, 1, 2, 3], pictures)
    other = written(model, ["z", "yxwv", "u", "tsr"], [0, 1, 2, 3], pictures)
    assert one == other
    assert all(isinstance(text, str) for text in one)


@pytest.mark.slow
def test_a_few_images_are_learned_by_heart() -> None:
    model = captioner(search={"beam_size": 2})
    pictures, texts = images(3), ["abca", "dd", "eabfg"]
    rows = [sample(text, number) for number, text in enumerate(texts)]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(80):
        optimizer.zero_grad()
        loss = model.train().loss(pictures, rows)["loss_caption"]
        loss.backward()
        optimizer.step()
    assert loss < 0.1
    assert written(model, ["x", "x", "x"], [0, 1, 2], pictures) == texts


def test_states_of_another_width_are_projected() -> None:
    head = CaptionHead(**{**SIZES, "embed_dim": 16})
    assert head.project(torch.zeros(2, 5, 16)).shape == (2, 5, WIDTH)
    assert not list(CaptionHead(**SIZES).parameters())


def test_special_tokens_but_the_end_are_never_written() -> None:
    assert CaptionHead(**SIZES).vocabulary.never_written == (0, 1, 2, 4)


@pytest.mark.parametrize(("length", "allowed"), [(2, False), (3, True), (12, True), (13, False)])
def test_a_caption_is_no_longer_than_the_tokenizer_allows(length: int, allowed: bool) -> None:
    if allowed:
        assert CaptionHead(**SIZES, search={"max_length": length}).rules.max_length == length
        return
    with pytest.raises(ValueError, match=rf"search.max_length: must be between 3 .* \(12\), got {length}"):
        CaptionHead(**SIZES, search={"max_length": length})


@pytest.mark.parametrize("search", [{"beams": 2}, {"beam_size": "two"}])
def test_a_search_that_does_not_exist_is_refused(search: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="search: it takes beam_size, max_length, .* got {'beam"):
        CaptionHead(**SIZES, search=search)


def test_a_smoothing_that_is_no_share_is_refused() -> None:
    with pytest.raises(ValueError, match="label_smoothing: must be in"):
        CaptionHead(**SIZES, label_smoothing=-1.0)


def test_without_a_length_that_of_the_tokenizer_is_taken() -> None:
    assert CaptionHead(**SIZES).rules.max_length == 12


def reselecting(every: int, **search: Any) -> VLPModel:
    model = captioner(without_text="prompt", reselect_every=every, search=search or None).eval()
    for name, weight in model.text_decoder.named_parameters():
        if "crossattention" in name and weight.dim() > 1:
            torch.nn.init.normal_(weight)  # random words that depend on the image
    return model


def begun(model: VLPModel, pictures: torch.Tensor, row: int, ids: list[int]) -> torch.Tensor:
    """Return what the decoder reads of one image while this text is known, encoded from its pixels."""
    texts = torch.tensor([ids if len(ids) > 1 else [2, 3]])  # nothing written: the prompt, [CLS][SEP]
    text = model.encoders.encode_text(TokenBatch(texts, torch.ones_like(texts, dtype=torch.bool)))
    return model.encoders.encode_visual(model.encoders.encode_shared(pictures[row : row + 1]), text).embeds


def next_logits(model: VLPModel, ids: list[int], memory: torch.Tensor) -> torch.Tensor:
    """Return the decoder's logits for one text, after each of its tokens."""
    tokens = TokenBatch(torch.tensor([ids]), torch.ones(1, len(ids), dtype=torch.bool))
    return model.text_decoder(tokens, memory, torch.ones(memory.shape[:2], dtype=torch.bool))[0]


@pytest.mark.parametrize("every", [1, 2])
def test_the_loss_of_a_selecting_caption_is_that_of_the_tokens_after_the_beginning_that_selected(every: int) -> None:
    model, pictures, rows = reselecting(every), images(4), samples()
    tokens = model.encoders.tokenize([row.text for row in rows])
    noise = model.passes(pictures, rows).batch.noise("caption", 4)
    terms, lengths = [], []
    for row, length in enumerate(tokens.attention_mask.sum(dim=1).tolist()):
        ids = tokens.input_ids[row, :length]
        choices = [1 + k for k in range(0, length - 1, every)]
        given = choices[int(noise[row] * len(choices))]
        lengths.append(given)
        logits = next_logits(model, ids.tolist(), begun(model, pictures, row, ids[:given].tolist()))
        terms.append(F.cross_entropy(logits[given - 1 : -1], ids[given:], reduction="none"))
    assert len(set(lengths)) > 1
    with torch.no_grad():
        torch.testing.assert_close(model.loss(pictures, rows)["loss_caption"], torch.cat(terms).mean())


def test_a_caption_is_written_with_the_patches_that_its_own_words_selected_last() -> None:
    model, pictures = reselecting(2, beam_size=1), images(3)
    wanted = []
    for row in range(3):
        ids = [2]
        while len(ids) < 12 and ids[-1] != 3:
            memory = begun(model, pictures, row, ids[: 1 + (len(ids) - 1) // 2 * 2])
            logits = next_logits(model, ids, memory)[-1]
            ids.append(int(logits.index_fill(0, torch.tensor(LETTERS.never_written), -torch.inf).argmax()))
        wanted.append(model.tokenizer.decode(ids))
    assert written(model, ["x"] * 3, [0, 1, 2], pictures) == wanted
    assert len(set(wanted)) > 1


def test_selections_by_several_beams_are_counted() -> None:
    model = reselecting(4, beam_size=3, max_length=10, early_exit=False)
    passes = model.passes(images(4), samples())
    with torch.no_grad():
        model.heads["caption"].predict(Step(passes))
    # 9 tokens are written; 4 and 8 of them select again: 2 x 4 images x 3 beams.
    assert passes.counts["written"].rows == 24
    assert passes.counts["free"].rows == 4


def test_a_caption_that_no_text_can_select_for_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"heads.caption.reselect_every: has an effect only with .*prompt.*got cls"):
        captioner(reselect_every=2)
    with pytest.raises(ConfigError, match=r"heads.caption.reselect_every: has no effect: no selector and no decoder"):
        tiny_model(without_text="prompt", selectors=[], heads={"caption": CaptionHead(**SIZES, reselect_every=2)})
    with pytest.raises(ValueError, match="reselect_every: must be 0 or more, got -1"):
        CaptionHead(**SIZES, reselect_every=-1)
