"""Texts that the tokenizer mostly leaves out: refused before the first step of a training, said of an evaluation."""

import logging

import pytest
from torch import nn

from bus_toolkit.data.text_survey import TextLimits
from bus_toolkit.engine import RunOptions, evaluate, train
from bus_toolkit.engine.text_checks import SAMPLES, check_answer_lists, check_texts
from bus_toolkit.errors import ConfigError, DataError
from bus_toolkit.heads import VQAHead
from bus_toolkit.structures import Vocabulary
from bus_toolkit.tokenizers import CorpusTokenizer, WordPieceTokenizer
from tests.engine.own_pairs import CONFIG, settings, write_pairs


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_pairs(tmp_path)
    return tmp_path


class Texts:
    """Rows with a text, and answers where there are any."""

    def __init__(self, *texts, answers=()):
        self.texts, self.answers, self.read = texts, answers, 0

    def __len__(self):
        return len(self.texts)

    def get_data_info(self, row):
        self.read += 1
        return {"text": self.texts[row], "gt_answer": list(self.answers)}


class Model(nn.Module):
    def __init__(self, **settings):
        super().__init__()
        self.tokenizer = CorpusTokenizer(**settings)


def check(data, limits=None, training=True, **settings):
    check_texts(data, "train_dataloader", Model(**settings), limits or TextLimits(), training=training)


SCENES = "model.tokenizer={_delete_: true, type: CorpusTokenizer, max_length: 32}"


def test_a_vocabulary_that_does_not_know_a_third_of_the_words_is_refused(folder):
    message = (
        r"^train_dataloader.dataset: 66.7% of the words of captions \(16 of 24\) are not in the vocabulary of "
        r"model.tokenizer \(CorpusTokenizer\), such as 'disc', .*, and would all be read as \[UNK\]; max_unknown_words "
        r"is 0.2. Count the words of these data \(CorpusTokenizer.corpus_file\), take a WordPieceTokenizer, or raise"
    )
    with pytest.raises(DataError, match=message):
        train(CONFIG, settings(folder, SCENES), RunOptions(work_dir="run", no_validate=True))


@pytest.mark.slow
def test_a_higher_limit_says_it_once_and_trains(folder, capsys):
    options = settings(folder, SCENES, "max_unknown_words=0.7")
    train(CONFIG, options, RunOptions(work_dir="run", no_validate=True))
    shown = capsys.readouterr().err
    assert shown.count("train_dataloader: 66.7% of the words of captions are not in the vocabulary") == 1
    assert "'disc'" in shown and "further ones are only counted" not in shown
    evaluate(CONFIG, settings(folder, SCENES), RunOptions(work_dir="test", load_from="run/epoch_1.pth"))
    assert "test_dataloader: 66.7% of the words" in capsys.readouterr().err


def test_captions_that_are_mostly_cut_are_refused(folder):
    message = (
        r"train_dataloader.dataset: 100.0% of the captions \(8 of 8\) have more than the 4 tokens of "
        r"model.tokenizer.max_length, start and end included, and would be cut; max_cut_texts is 0.5. Raise max_length"
    )
    with pytest.raises(DataError, match=message):
        train(CONFIG, settings(folder, "model.tokenizer.max_length=4"), RunOptions(work_dir="run", no_validate=True))


def test_answers_are_looked_at_as_well():
    with pytest.raises(DataError, match=r"66.7% of the words of answers \(2 of 3\) .* such as 'zzqx'"):
        check(Texts("a red circle", answers=["zzqx zzqx", "red"]))
    with pytest.raises(DataError, match=r"100.0% of the answers \(1 of 1\) have more than the 4 tokens"):
        check(Texts("a", answers=["a red circle"]), max_length=4)


def test_a_few_are_said_with_examples_and_none_is_not_mentioned(caplog):
    with caplog.at_level(logging.INFO, "bus_toolkit"):
        check(Texts("a red circle", "a blue star"))
    assert not caplog.text
    with caplog.at_level(logging.INFO, "bus_toolkit"):
        check(Texts(*["a red circle"] * 9, "a zzqx circle"))
    assert "train_dataloader: 3.3% of the words of captions are not in the vocabulary and are read" in caplog.text
    assert "such as 'zzqx' (10 samples looked at)" in caplog.text and caplog.records[-1].levelno == logging.WARNING
    caplog.clear()
    with caplog.at_level(logging.INFO, "bus_toolkit"):
        check(Texts(*["a red circle"] * 199, "a zzqx circle"))
    assert caplog.records[-1].levelno == logging.INFO, "0.2 %"


def test_the_cost_is_bounded(caplog):
    data = Texts(*["a zzqx red circle"] * (10 * SAMPLES))
    with pytest.raises(DataError, match="25.0% of the words of captions"):
        check(data)
    assert data.read == SAMPLES
    check(data, TextLimits(unknown_words=0.5))
    assert "(1,000 of 10,000 looked at)" in caplog.text


def test_an_evaluation_is_warned(caplog):
    check(Texts("zzqx"), training=False)
    assert "100.0% of the words of captions (1 of 1) are not in the vocabulary" in caplog.text


@pytest.mark.parametrize("key", ["max_unknown_words", "max_cut_texts"])
def test_a_limit_is_a_share(key):
    assert TextLimits.of({key: 1}) != TextLimits() == TextLimits.of({})
    with pytest.raises(ConfigError, match=f"{key}: must be a share from 0 to 1, got 20"):
        TextLimits.of({key: 20})


def test_answers_to_choose_from_that_have_the_same_ids_are_named(caplog):
    model = nn.Module()
    model.tokenizer = WordPieceTokenizer()
    answers = ["yes", "\U0001f436", "\U0001f431", "Caf\u00e9", "cafe"]
    head = VQAHead(vocabulary=Vocabulary.of(model.tokenizer), inference="rank", answer_list=answers)
    model.heads = nn.ModuleDict({"vqa": head})
    check_answer_lists(model)
    assert "model.heads.vqa.answer_list: 2 of 5 answers have the same token ids as another one" in caplog.text
    assert "such as '\U0001f436' and '\U0001f431', 'Caf\u00e9' and 'cafe'" in caplog.text
