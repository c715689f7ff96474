"""Rows of words mean the words that they were trained with: other words are refused, unless these rows start new."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from bus_toolkit.errors import CheckpointError
from bus_toolkit.heads.prior_lm import PriorLMHead
from bus_toolkit.testing.model import TINY_HEADS, tiny_caption_lm, tiny_model
from bus_toolkit.tokenizers import CorpusTokenizer, WordPieceTokenizer
from bus_toolkit.weights.load_rule import LoadRule
from bus_toolkit.weights.reading import source_of
from bus_toolkit.weights.settings import Pretrained, load_parts
from bus_toolkit.weights.whole import load_whole
from bus_toolkit.weights.words import check_words, words_of
from tests.weights.sources import state_of, unchanged

WORDS = words_of(CorpusTokenizer()) or []
SWAPPED = [*WORDS[:-2], WORDS[-1], WORDS[-2]]
EMBEDDINGS = "bert.embeddings.word_embeddings"
HEADS = {name: TINY_HEADS[name] for name in ("itc", "mlm", "prefix_lm")}


def holding(state: dict[str, Any], words: Any) -> dict[str, Any]:
    return {"state_dict": state, "meta": {"bus_toolkit": {"vocabulary": words}}}


def test_bert_has_all_its_words() -> None:
    words = words_of(WordPieceTokenizer())
    assert words is not None and len(words) == 30522 and words[101] == "[CLS]"


def test_other_words_are_refused_with_the_first_ones() -> None:
    last = len(WORDS) - 2
    for own, theirs in ((WORDS, list(WORDS)), (WORDS, None), (None, WORDS), (words_of(object()), SWAPPED)):
        check_words("a.pth", own, theirs)
    message = rf"a.pth: model.tokenizer has other words .* 2 ids differ, the first are {last}: {WORDS[-2]!r} here"
    with pytest.raises(CheckpointError, match=message):
        check_words("a.pth", WORDS, SWAPPED)
    with pytest.raises(CheckpointError, match=f"1 ids differ, the first are {last + 2}: None here, 'zebra' there"):
        check_words("a.pth", WORDS, [*WORDS, "zebra"])


@pytest.mark.parametrize("purpose", ["start", "evaluate", "resume"])
def test_a_whole_model_is_refused_and_stays_as_it_was(purpose: Any) -> None:
    model, state = tiny_model(HEADS), tiny_model(HEADS, seed=1).state_dict()
    before = state_of(model)
    with pytest.raises(CheckpointError, match="a.pth: model.tokenizer has other words") as caught:
        load_whole(model, source_of(holding(state, SWAPPED), "a.pth"), LoadRule(purpose, words=WORDS))
    assert unchanged(model, before)
    assert ("let what has a row a word start" in str(caught.value)) is (purpose == "start")
    load_whole(model, source_of(holding(state, WORDS), "a.pth"), LoadRule(purpose, words=WORDS))
    assert unchanged(model, state)


def test_a_model_whose_rows_of_words_start_new_takes_the_rest() -> None:
    model, state = tiny_model(HEADS), tiny_model(HEADS, seed=1).state_dict()
    source = source_of(holding(state, SWAPPED), "a.pth")
    with pytest.raises(CheckpointError) as caught:
        load_whole(model, source, LoadRule(words=WORDS))
    rows = str(caught.value).rsplit("new_parts: ", 1)[1].rstrip(".").split(", ")
    assert {row.split(".")[0] for row in rows} == {"text_encoder", "text_decoder", "heads"}
    before = state_of(model)
    report = load_whole(model, source, LoadRule(words=WORDS, new_parts=rows))
    assert sorted(report.missing) == sorted(rows)
    assert all(torch.equal(now, before[n] if n in rows else state[n]) for n, now in model.state_dict().items())


@pytest.mark.parametrize(
    ("part", "prefix", "is_refused"),
    [
        ("text_encoder", "text_encoder.", True),
        ("text_decoder", "text_decoder.", True),
        ("backbone", "backbone.vit.", False),
        ("model", "", True),
    ],
)
def test_parts_are_compared_if_they_read_words(part: str, prefix: str, is_refused: bool, tmp_path: Path) -> None:
    model, file = tiny_model(HEADS), str(tmp_path / "a.pth")
    wanted = {part: Pretrained(file, layout="identity", prefix=prefix)}
    torch.save(holding(dict(tiny_model(HEADS, seed=1).state_dict()), SWAPPED), file)
    if not is_refused:
        load_parts(model, wanted, {}, WORDS)
        return
    with pytest.raises(CheckpointError, match=r"^model\.(\w+\.)?pretrained: .*a.pth: model.tokenizer has other words"):
        load_parts(model, wanted, {}, WORDS)
    new = [f"bert.{EMBEDDINGS}", "bert.cls.predictions"] if part == "text_decoder" else [EMBEDDINGS]
    if part != "model":
        load_parts(model, {part: Pretrained(file, layout="identity", prefix=prefix, new_parts=new)}, {}, WORDS)


def test_a_reference_that_was_trained_with_other_words_is_refused(tmp_path: Path) -> None:
    file = str(tmp_path / "reference.pth")
    settings = {"num_layers": 1, "num_heads": 4, "max_text_length": 16, "cross_attention": False}
    head = {"type": "PriorLMHead", "reference_weights": file, "reference": {"type": "BertTextDecoder", **settings}}
    model = tiny_model({"itc": TINY_HEADS["itc"], "prior": head})
    assert isinstance(model.heads["prior"], PriorLMHead)
    state = dict(tiny_caption_lm().state_dict())
    torch.save(holding(state, SWAPPED), file)
    with pytest.raises(CheckpointError, match=r"^model\.heads\.prior\.reference_weights: .*has other words"):
        model.init_weights()
    for words in (WORDS, None):
        torch.save(holding(state, words), file)
        model.init_weights()
