import shutil

import pytest

from bus_toolkit import Inferencer
from bus_toolkit.engine import RunOptions, evaluate, train
from bus_toolkit.engine.vocabulary import keep_vocabulary, with_kept_vocabulary
from bus_toolkit.tokenizers import CorpusTokenizer
from tests.engine.own_pairs import CONFIG, settings, write_pairs

NODE = {"type": "CorpusTokenizer", "corpus_file": "pairs.csv", "text_key": "caption", "max_length": 8}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_pairs(tmp_path)
    return tmp_path


def test_counted_words_are_kept_beside_the_checkpoints(folder):
    node = keep_vocabulary(NODE, folder)
    assert node == {"type": "CorpusTokenizer", "max_length": 8, "vocab_file": str(folder / "vocabulary.txt")}
    kept, counted = CorpusTokenizer(vocab_file=node["vocab_file"]), CorpusTokenizer(corpus_file="pairs.csv")
    ids = range(counted.vocab_size)
    assert kept.convert_ids_to_tokens(ids) == counted.convert_ids_to_tokens(ids)
    assert not list(folder.glob(".*.tmp"))


def test_a_checkpoint_is_read_with_its_own_words(folder):
    (folder / "run").mkdir()
    keep_vocabulary(NODE, folder / "run")
    wanted = {"type": "CorpusTokenizer", "max_length": 8, "vocab_file": str(folder / "run/vocabulary.txt")}
    assert with_kept_vocabulary(NODE, folder / "run" / "epoch_1.pth") == wanted
    moved = {**wanted, "vocab_file": "elsewhere/vocabulary.txt"}
    assert with_kept_vocabulary(moved, folder / "run" / "epoch_1.pth") == wanted
    assert with_kept_vocabulary(NODE, folder / "epoch_1.pth") == NODE, "nothing is kept there"
    assert with_kept_vocabulary(NODE, "https://a/epoch_1.pth") == NODE
    fixed = {"type": "WordPieceTokenizer"}
    assert with_kept_vocabulary(fixed, folder / "run" / "epoch_1.pth") == fixed
    assert keep_vocabulary(fixed, folder) == fixed


def test_resuming_evaluating_and_asking_use_the_words_of_the_training(folder, capsys):
    options = settings(folder)
    train(CONFIG, options, RunOptions(work_dir="run", no_validate=True))
    words = (folder / "run/vocabulary.txt").read_text()
    assert "crimson" in words
    table = folder / "pairs.csv"
    table.write_text(table.read_text() + "0.png,aardvark aardvark aardvark\n")

    again = RunOptions(work_dir="run", no_validate=True, resume="latest")
    train(CONFIG, [*options, "train_cfg.max_epochs=2"], again)
    assert (folder / "run/vocabulary.txt").read_text() == words
    shown = capsys.readouterr().err
    assert "12.50 % of the 24 words" in shown and "'aardvark'" in shown
    evaluate(CONFIG, options, RunOptions(work_dir="test", load_from="run/epoch_2.pth"))

    shutil.move("run", "moved")
    model = Inferencer("moved", device="cpu").model
    assert model.tokenizer.ids_of_words(["crimson"]) and "aardvark" not in words
