import pytest

from bus_toolkit.blank_texts import is_blank
from bus_toolkit.cli.infer_inputs import read_texts
from bus_toolkit.data.annotations.question_forms import gqa, visual_genome
from bus_toolkit.data.annotations.references import read_references
from bus_toolkit.data.datasets.bad_samples import BadSample
from bus_toolkit.data.datasets.base import check_caption
from bus_toolkit.data.datasets.image_text_pairs import ImageTextPairs
from bus_toolkit.data.datasets.statements import Statements
from bus_toolkit.errors import DataError
from bus_toolkit.heads.answers import read_answers
from bus_toolkit.inference.inputs import as_texts

UNSEEN = (
    "",
    " \t\u3000",
    "\u200b",
    "\u2060",
    "\ufeff",
    "\u00ad",
    "\u0301",
    "\u200d\ufe0f",
    "\u0007",
    "\u2028",
    "\u3164",
    "\u2800",
    "\ufffd",
    "\ue000",
)


@pytest.mark.parametrize("text", UNSEEN)
def test_what_shows_nothing_is_blank(text):
    assert is_blank(text) and is_blank(f" {text}\n") and not is_blank(f"{text}a")


@pytest.mark.parametrize(
    "text", ["a", "7", "?", "...", "\U0001f436", "\u65e5", "\u0e01\u0e33", "e\u0301", "$", "\U0001fae8"]
)
def test_what_can_be_seen_is_not(text):
    assert not is_blank(text)


@pytest.mark.parametrize("text", UNSEEN)
def test_every_kind_of_text_has_the_same_rule(tmp_path, text):
    with pytest.raises(BadSample, match="the caption is empty"):
        check_caption({"img_path": "0.png", "text": text})
    with pytest.raises(ValueError, match="answer 2 must be words"):
        read_answers(["yes", text])
    (question,) = gqa({"1": {"imageId": "2", "question": "what?", "answer": text}})
    assert "it is empty" in question.problem
    with pytest.raises(DataError, match="must be a string with at least one word"):
        as_texts(["a", text])


def test_an_answer_of_visual_genome_keeps_its_full_stop_if_nothing_else_is_seen():
    entry = {"qa_id": 1, "image_id": 2, "question": "what?"}
    answers = [{**entry, "answer": answer} for answer in ("A dog.", ".", "\u200b.")]
    assert [question.answers for question in visual_genome([{"qas": answers}])] == [("A dog",), (".",), ("\u200b.",)]


def test_the_readers_of_files_have_it_too(tmp_path):
    pairs, texts, refs = tmp_path / "a.csv", tmp_path / "a.txt", tmp_path / "refs.json"
    pairs.write_text("image,caption\n0.png,\u200b\n1.png,a dog\n", encoding="utf-8")
    with pytest.raises(BadSample, match=r"a.csv, line 2: the caption is empty, got '\\u200b'"):
        ImageTextPairs(str(pairs)).get_data_info(0)
    texts.write_text("a dog\n\u2060\n\ufeff \n", encoding="utf-8")
    assert read_texts([], texts) == ["a dog"] == read_answers(str(texts))
    sentence = (
        '{"ref_id": 1, "image_id": 1, "ann_id": 1, "split": "val", "sentences": [{"sent_id": 5, "sent": "\u200b"}]}'
    )
    refs.write_text(f"[{sentence}]", encoding="utf-8")
    with pytest.raises(DataError, match="sent_id 5: an expression needs words"):
        read_references(str(refs), "here")
    line = '{"pairID": "1", "Flickr30K_ID": "2", "sentence2": "\u00ad", "gold_label": "neutral"}'
    (tmp_path / "a.jsonl").write_text(line, encoding="utf-8")
    with pytest.raises(BadSample, match="the caption is empty"):
        Statements(str(tmp_path / "a.jsonl"), "").read(0)


def test_a_caption_longer_than_any_is_a_bad_sample(monkeypatch):
    with pytest.raises(BadSample, match="has 100001 characters, allowed are 100000.*BUS_MAX_CAPTION_CHARACTERS"):
        check_caption({"img_path": "0.png", "text": "\u200b" * 100_001})
    check_caption({"img_path": "0.png", "text": "a" * 100_000})
