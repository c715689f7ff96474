import shutil

import pytest

from bus_toolkit import Inferencer
from bus_toolkit.engine import RunOptions, evaluate, load_checkpoint_file, train
from bus_toolkit.engine.vocabulary import words_of_checkpoint, write_words
from bus_toolkit.errors import CheckpointError
from bus_toolkit.tokenizers import CorpusTokenizer, WordPieceTokenizer
from bus_toolkit.weights.run_state import read_section
from bus_toolkit.weights.words import words_of
from tests.engine.own_pairs import CONFIG, settings, write_pairs

NODE = {"type": "CorpusTokenizer", "corpus_file": "pairs.csv", "text_key": "caption", "max_length": 8}
ENCODER = "{checkpoint: run/epoch_1.pth, prefix: text_encoder.}"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_pairs(tmp_path)
    return tmp_path


def holding(words):
    return {"meta": {"bus_toolkit": {"vocabulary": words}}}


def test_a_counted_tokenizer_is_built_with_the_words_of_the_checkpoint(folder):
    words = [*words_of(CorpusTokenizer(corpus_file="pairs.csv")), "zebra"]
    with words_of_checkpoint(NODE, folder / "epoch_1.pth", holding(words)) as node:
        assert "corpus_file" not in node and "text_key" not in node and node["max_length"] == 8
        assert words_of(CorpusTokenizer(vocab_file=node["vocab_file"])) == words


def test_words_beside_a_checkpoint_of_an_earlier_version_are_read(folder):
    write_words(words_of(CorpusTokenizer(corpus_file="pairs.csv")), folder / "run/vocabulary.txt")
    wanted = {"type": "CorpusTokenizer", "max_length": 8, "vocab_file": str(folder / "run/vocabulary.txt")}
    moved = {**wanted, "vocab_file": "elsewhere/vocabulary.txt"}
    for node in (NODE, moved):
        with words_of_checkpoint(node, folder / "run/epoch_1.pth", {}) as readable:
            assert readable == wanted


@pytest.mark.parametrize("path", [None, "https://a/epoch_1.pth", "nothing/epoch_1.pth"])
def test_without_such_words_the_config_counts(folder, path):
    with words_of_checkpoint(NODE, path, None) as node:
        assert node == NODE


def test_a_tokenizer_with_words_of_its_own_stays_as_it_is(folder):
    with words_of_checkpoint({"type": "WordPieceTokenizer"}, folder / "epoch_1.pth", holding(["a"])) as node:
        assert node == {"type": "WordPieceTokenizer"}


def test_bert_has_all_its_words():
    words = words_of(WordPieceTokenizer())
    assert len(words) == 30522 and words[101] == "[CLS]"


@pytest.mark.slow
def test_resuming_evaluating_and_asking_use_the_words_of_the_training(folder, capsys):
    options = settings(folder)
    train(CONFIG, options, RunOptions(work_dir="run", no_validate=True))
    words = (folder / "run/vocabulary.txt").read_text()
    assert "crimson" in words
    assert read_section(load_checkpoint_file("run/epoch_1.pth"), "vocabulary") == words.splitlines()
    table = folder / "pairs.csv"
    table.write_text(table.read_text() + "0.png,aardvark aardvark aardvark\n")

    again = RunOptions(work_dir="run", no_validate=True, resume="latest")
    train(CONFIG, [*options, "train_cfg.max_epochs=2"], again)
    assert (folder / "run/vocabulary.txt").read_text() == words
    shown = capsys.readouterr().err
    assert "12.50 % of the 24 words" in shown and "'aardvark'" in shown
    evaluate(CONFIG, options, RunOptions(work_dir="test", load_from="run/epoch_2.pth"))

    shutil.move("run", "moved")
    (folder / "moved/vocabulary.txt").unlink()
    model = Inferencer("moved", device="cpu").model
    assert model.tokenizer.ids_of_words(["crimson"]) and "aardvark" not in words_of(model.tokenizer)


@pytest.mark.slow
def test_an_edited_file_of_words_is_refused_everywhere(folder):
    words = words_of(CorpusTokenizer(corpus_file="pairs.csv"))
    write_words(words, folder / "words.txt")
    options = settings(
        folder, "model.tokenizer={_delete_: true, type: CorpusTokenizer, vocab_file: words.txt, max_length: 16}"
    )
    train(CONFIG, options, RunOptions(work_dir="run", no_validate=True))
    write_words([*words[:-2], words[-1], words[-2]], folder / "words.txt")
    more = [*options, "train_cfg.max_epochs=2"]
    new = RunOptions(work_dir="new", no_validate=True)
    uses = [
        lambda: evaluate(CONFIG, options, RunOptions(work_dir="test", load_from="run/epoch_1.pth")),
        lambda: train(CONFIG, more, RunOptions(work_dir="run", no_validate=True, resume="latest")),
        lambda: train(CONFIG, options, RunOptions(work_dir="new", no_validate=True, load_from="run/epoch_1.pth")),
        lambda: Inferencer("run", device="cpu"),
        lambda: train(CONFIG, [*options, f"model.text_encoder.pretrained={ENCODER}"], new),
    ]
    for use in uses:
        with pytest.raises(CheckpointError, match="epoch_1.pth: model.tokenizer has other words"):
            use()
    start = "{checkpoint: run/epoch_1.pth, new_parts: [text_encoder.bert.embeddings.word_embeddings]}"
    train(CONFIG, [*options, f"load_from={start}"], new)
