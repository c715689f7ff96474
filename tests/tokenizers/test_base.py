import hashlib
import logging
import pickle
import subprocess
import sys

import pytest
import torch

from bus_toolkit.errors import ConfigError, DataError
from bus_toolkit.tokenizers import CorpusTokenizer, WordPieceTokenizer
from bus_toolkit.tokenizers.base import SPECIAL_TOKENS
from bus_toolkit.tokenizers.corpus import split_words
from bus_toolkit.tokenizers.vocabularies import SHIPPED as VOCAB


def test_the_shipped_vocabulary_is_the_one_of_bert():
    digest = hashlib.sha256((VOCAB / "bert_base_uncased.txt").read_bytes()).hexdigest()
    assert digest == "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
    assert digest in (VOCAB / "NOTICE").read_text()


def test_wordpiece_agrees_with_bert():
    ids, mask = WordPieceTokenizer()(["A dog chasing a frisbee in the park."])
    expected = [101, 1037, 3899, 11777, 1037, 10424, 2483, 11306, 1999, 1996, 2380, 1012, 102]
    assert ids.tolist() == [expected]
    assert mask.all() and mask.dtype == torch.bool and ids.dtype == torch.int64


def test_wordpiece_agrees_with_transformers():
    from transformers import BertTokenizer

    reference = BertTokenizer(str(VOCAB / "bert_base_uncased.txt"))
    texts = ["Crème brûlée!", "left-of 12.5% x", "日本 tokyo", "don't  stop\tnow"]
    for text in texts:
        assert WordPieceTokenizer()([text]).input_ids[0].tolist() == reference(text)["input_ids"]


@pytest.mark.parametrize("tokenizer", [WordPieceTokenizer(max_length=8), CorpusTokenizer(max_length=8)])
def test_pads_to_the_longest_text_of_the_batch(tokenizer):
    ids, mask = tokenizer(["a red circle", "a"])
    assert ids.shape == mask.shape == (2, 5)
    assert mask.sum(1).tolist() == [5, 3]
    assert (ids[~mask] == tokenizer.pad_token_id).all()
    assert ids[1].tolist()[:3] == tokenizer([("a")]).input_ids[0].tolist()
    assert ids[0, 0] == tokenizer.cls_token_id and ids[0, 4] == tokenizer.sep_token_id


@pytest.mark.parametrize("tokenizer", [WordPieceTokenizer(max_length=5), CorpusTokenizer(max_length=5)])
def test_cuts_counts_and_logs_once(tokenizer, caplog):
    with caplog.at_level(logging.WARNING):
        ids, _ = tokenizer(["a red circle above a star", "a", "a blue star below a square"])
        tokenizer(["a red circle above a star"])
    assert ids.shape == (3, 5) and ids[0, 4] == tokenizer.sep_token_id
    assert tokenizer.num_truncated == 3
    assert caplog.text.count("longer than max_length=5") == 1


@pytest.mark.parametrize("text", ["", "   ", "\n", "\u200b", "\u0301"])
def test_refuses_an_empty_caption(text):
    with pytest.raises(DataError, match="a caption is empty, got .*Remove it"):
        CorpusTokenizer()(["a star", text])


@pytest.mark.parametrize("tokenizer", [WordPieceTokenizer(), CorpusTokenizer()])
def test_a_text_of_which_the_vocabulary_leaves_nothing_is_an_unknown_word(tokenizer):
    ids, mask = tokenizer(["\U0001f923", "\ufdd0", "a star"])
    for row in range(2):
        assert ids[row].tolist() == [tokenizer.cls_token_id, tokenizer.unk_token_id, tokenizer.sep_token_id, 0]
    assert mask.sum(1).tolist() == [3, 3, 4]


@pytest.mark.parametrize("tokenizer", [WordPieceTokenizer(), CorpusTokenizer()])
def test_characters_that_nobody_sees_part_no_words_and_are_none(tokenizer):
    plain = tokenizer(["a red circle"]).input_ids
    assert tokenizer(["\ufeffa red\u200b cir\u00adcle\u2060"]).input_ids.tolist() == plain.tolist()


def test_refuses_no_text_at_all():
    with pytest.raises(DataError, match="needs at least one text"):
        WordPieceTokenizer()([])


def test_words_keep_inner_hyphens_and_apostrophes():
    assert split_words("A star left-of the cat's mat -- well.") == "a star left-of the cat's mat - - well .".split()


def test_decodes_what_it_encoded():
    for tokenizer in (WordPieceTokenizer(), CorpusTokenizer()):
        ids = tokenizer(["a small red star above a ring"]).input_ids[0]
        assert tokenizer.decode(ids) == "a small red star above a ring"
        assert tokenizer.convert_ids_to_tokens(ids)[0] == "[CLS]"


def test_the_shipped_words_start_with_those_of_the_scenes():
    from bus_toolkit.data.scenes.settings import COLOURS, RELATIONS, SHAPES

    words = (VOCAB / "scenes.txt").read_text().splitlines()
    own = ["a", *COLOURS, *SHAPES, "small", "large", *RELATIONS]
    assert words[: 5 + len(own)] == [*SPECIAL_TOKENS, *own]
    assert len(set(words)) == len(words) == CorpusTokenizer().vocab_size


def test_counts_words_by_frequency_then_alphabet(tmp_path):
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("b b c\nC a\n")
    tokenizer = CorpusTokenizer(corpus_file=str(corpus))
    assert tokenizer.convert_ids_to_tokens(range(5, 8)) == ["b", "c", "a"]
    assert CorpusTokenizer(corpus_file=str(corpus), min_frequency=2).vocab_size == 7
    assert tokenizer(["a d"]).input_ids.tolist() == [[2, 7, tokenizer.unk_token_id, 3]]


def test_a_saved_vocabulary_reads_the_same(tmp_path):
    (tmp_path / "corpus.txt").write_text("the cat sat on the mat")
    first = CorpusTokenizer(corpus_file=str(tmp_path / "corpus.txt"))
    first.save_vocabulary(tmp_path / "vocab.txt")
    second = CorpusTokenizer(vocab_file=str(tmp_path / "vocab.txt"))
    assert torch.equal(first(["the mat"]).input_ids, second(["the mat"]).input_ids)


def test_travels_between_processes():
    tokenizer = pickle.loads(pickle.dumps(CorpusTokenizer()))
    assert tokenizer(["a star"]).input_ids.shape == (1, 4)


def test_refuses_settings_that_contradict():
    with pytest.raises(ConfigError, match="got both. Leave one out"):
        CorpusTokenizer(vocab_file="a", corpus_file="b")
    with pytest.raises(ConfigError, match="min_frequency: has no effect without corpus_file, got 2"):
        CorpusTokenizer(min_frequency=2)
    with pytest.raises(ConfigError, match="max_length: must be at least 3"):
        WordPieceTokenizer(max_length=2)


@pytest.mark.parametrize("tokenizer", [CorpusTokenizer, WordPieceTokenizer])
def test_refuses_a_vocabulary_without_special_tokens(tmp_path, tokenizer):
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\ncat\n")
    with pytest.raises(DataError, match=r"has no \[CLS\], \[SEP\]|sep_token not found in the vocabulary"):
        tokenizer(vocab_file=str(tmp_path / "vocab.txt"))


def test_refuses_a_missing_file():
    with pytest.raises(DataError, match="/nowhere.txt: cannot be read: No such file"):
        WordPieceTokenizer(vocab_file="/nowhere.txt")


def test_words_are_counted_in_tables_of_pairs(tmp_path):
    (tmp_path / "a.csv").write_text('file,caption,alt\n0.png,"a crimson disc, alone",x\n1.png,a disc,y\n')
    words = CorpusTokenizer(corpus_file=str(tmp_path / "a.csv")).convert_ids_to_tokens(range(5, 10))
    assert words == ["a", "disc", ",", "alone", "crimson"]
    assert CorpusTokenizer(corpus_file=str(tmp_path / "a.csv"), text_key="alt").ids_of_words(["x", "y"]) == [5, 6]
    (tmp_path / "a.tsv").write_text("file\ttitle\n0.png\tone two\n")
    assert CorpusTokenizer(corpus_file=str(tmp_path / "a.tsv")).vocab_size == 7
    (tmp_path / "a.json").write_text('[{"caption": ["one two", "three"]}]')
    assert CorpusTokenizer(corpus_file=str(tmp_path / "a.json")).vocab_size == 8


def test_a_table_without_a_caption_column_is_named(tmp_path):
    (tmp_path / "a.csv").write_text("file,alt\n0.png,x\n")
    with pytest.raises(
        DataError,
        match=r"a.csv: the first line must name the columns, one of them caption or text .*, got file, alt",
    ):
        CorpusTokenizer(corpus_file=str(tmp_path / "a.csv"))
    with pytest.raises(ConfigError, match="text_key: has no effect without corpus_file, got 'alt'"):
        CorpusTokenizer(text_key="alt")


def test_unknown_words_are_counted_and_named_once(caplog):
    tokenizer = CorpusTokenizer()
    with caplog.at_level(logging.WARNING):
        tokenizer(["a red circle"])
        assert tokenizer.unknown_share == 0 and not caplog.text
        tokenizer(["a crimson circle", "a vermilion star"])
        tokenizer(["a mauve circle"])
    assert (tokenizer.num_words, tokenizer.num_unknown) == (12, 3)
    assert tokenizer.unknown_share == 0.25
    assert caplog.text.count("are read as [UNK]: 'crimson', 'vermilion'; further") == 1 and "mauve" not in caplog.text


def test_a_survey_counts_words_and_changes_no_counts(caplog):
    tokenizer = WordPieceTokenizer(max_length=6)
    counts = tokenizer.survey(["a frisbee", "\U0001f436 and \U0001f436", "one two three four five", " "])
    assert (counts.texts, counts.cut, counts.words) == (3, 1, 9), "frisbee is one word of three tokens"
    assert counts.unknown == {"\U0001f436": 2} and counts.unknown_share == pytest.approx(2 / 9)
    assert counts.examples() == "'\U0001f436'" and counts.cut_share == pytest.approx(1 / 3)
    assert not caplog.text and tokenizer.num_words == tokenizer.num_truncated == tokenizer.num_unknown == 0
    assert CorpusTokenizer().survey(["a red zzqx"]).unknown == {"zzqx": 1}
    assert tokenizer.survey([" "]).texts == 0


@pytest.mark.parametrize(
    ("texts", "length"), [(["a"], 4), (["a red circle", "a"], 6), (["a red circle above a star"], 9)]
)
def test_lengths_are_few_and_the_rest_is_padding(texts, length):
    plain, padded = CorpusTokenizer(max_length=9), CorpusTokenizer(max_length=9, lengths=[4, 6])
    ids, mask = padded(texts)
    longest = plain(texts).input_ids.shape[1]
    assert ids.shape == mask.shape == (len(texts), length) and ids.dtype == torch.int64 and mask.dtype == torch.bool
    assert torch.equal(ids[:, :longest], plain(texts).input_ids) and not mask[:, longest:].any()
    assert (ids[:, longest:] == padded.pad_token_id).all() and padded.num_words == plain.num_words // 2
    assert torch.equal(pickle.loads(pickle.dumps(padded))(texts).input_ids, ids)


@pytest.mark.parametrize("lengths", [[6, 4], [2], [9], [4, 4]])
def test_lengths_that_do_not_ascend_are_refused(lengths):
    with pytest.raises(ConfigError, match=r"CorpusTokenizer.lengths: must ascend, from 3 to below max_length \(9\)"):
        CorpusTokenizer(max_length=9, lengths=lengths)


def test_a_forked_worker_does_not_wait_for_the_threads_of_its_parent() -> None:
    script = """
import multiprocessing, os, sys
from bus_toolkit.tokenizers import WordPieceTokenizer
os.environ["TOKENIZERS_PARALLELISM"] = "true"  # as loading a tokenizer of mmpretrain's BLIP does
words, texts = WordPieceTokenizer(), ["a red circle", "a blue square"] * 50
words(texts)
worker = multiprocessing.get_context("fork").Process(target=words, args=(texts,))
worker.start()
worker.join(60)
worker.kill()
sys.exit(worker.exitcode != 0)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
