import json

import pytest

from bus_toolkit.cli.infer_inputs import read_texts
from bus_toolkit.config.yaml_text import read_yaml
from bus_toolkit.data.annotations.pairs import read_pairs
from bus_toolkit.data.datasets.nlvr import NLVRDataset
from bus_toolkit.data.datasets.statements import Statements
from bus_toolkit.data.preparation.recipe import Download
from bus_toolkit.errors import DataError
from bus_toolkit.heads.answers import read_answers
from bus_toolkit.text_files import read_utf8, split_lines
from bus_toolkit.tokenizers import CorpusTokenizer
from bus_toolkit.tokenizers.vocabularies import count_words, read_vocabulary

MARK = b"\xef\xbb\xbf"
# Where str.splitlines splits and a text file does not.
INNER = ("\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029")
NLVR = [{"sentence": "", "label": "true", "identifier": "1-0", "structured_rep": [[], [], []]}]


def test_lines_end_at_lf_and_crlf_and_nowhere_else():
    assert split_lines("") == []
    assert split_lines("a\r\nb\n\nc") == split_lines("a\nb\n\nc\n") == ["a", "b", "", "c"]
    for inner in (*INNER, "\r"):
        assert split_lines(f"a{inner}b\n") == [f"a{inner}b"]


@pytest.mark.parametrize(
    ("encoding", "advice"), [("utf-16", "iconv -f utf-16 -t utf-8"), ("latin1", "iconv -f latin1")]
)
def test_a_file_of_another_encoding_comes_with_its_command(tmp_path, encoding, advice):
    (tmp_path / "a.csv").write_bytes("image\n\u00e4.png\n".encode(encoding))
    with pytest.raises(DataError, match=f"here: .*a.csv, line [12]: is not UTF-8 .*{advice}"):
        read_utf8(tmp_path / "a.csv", "here")


def test_a_byte_order_mark_is_no_text(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbfimage")
    assert read_utf8(tmp_path / "a.csv") == "image"


def _pairs(path):
    return [pair.text for pair in read_pairs(path, None, None, "here")]


def _statements(path):
    return [Statements(str(path), "").get_data_info(row)["text"] for row in range(2)]


def _json_lines(texts, **more):
    return "\n".join(json.dumps({**more, "caption": text}, ensure_ascii=False) for text in texts)


def _nlvr2(texts):
    entries = [{"identifier": f"dev-{n}-1-0", "sentence": text, "label": "True"} for n, text in enumerate(texts)]
    return "\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)


READERS = {
    "texts.txt": ("\n".join, lambda path: read_texts([], path)),
    "answers.txt": ("\n".join, lambda path: read_answers(str(path))),
    "answers.json": (lambda texts: json.dumps(texts, ensure_ascii=False), lambda path: read_answers(str(path))),
    "vocabulary.txt": ("\n".join, lambda path: list(read_vocabulary(path))),
    "corpus.txt": ("\n".join, lambda path: sorted(count_words(path, lambda text: [text], 1))),
    "corpus.jsonl": (_json_lines, lambda path: sorted(count_words(path, lambda text: [text], 1))),
    "pairs.jsonl": (lambda texts: _json_lines(texts, image="0.png"), _pairs),
    "pairs.csv": (lambda texts: "image,caption\n" + "\n".join(f"0.png,{text}" for text in texts), _pairs),
    "nlvr2.jsonl": (_nlvr2, _statements),
    "download.jsonl": (
        lambda texts: "\n".join(json.dumps(text, ensure_ascii=False) for text in texts),
        lambda path: Download("Here", path.parent).json_lines(path.name),
    ),
}


# JSON does not allow control characters unescaped.
CASES = [(name, inner) for name in READERS for inner in INNER if "json" not in name or inner >= " "]


@pytest.mark.parametrize(("name", "inner"), CASES)
def test_every_reader_takes_a_byte_order_mark_and_characters_that_look_like_ends_of_lines(tmp_path, name, inner):
    texts = [f"first{inner}word", "second one"]
    write, read = READERS[name]
    for end in ("\n", "\r\n"):
        (tmp_path / name).write_bytes(MARK + write(texts).replace("\n", end).encode())
        assert read(tmp_path / name) == texts


def test_nlvr_and_yaml_take_them_too(tmp_path):
    lines = [json.dumps({**NLVR[0], "sentence": text}, ensure_ascii=False) for text in ("a\u2028b", "c")]
    (tmp_path / "dev.json").write_bytes(MARK + "\n".join(lines).encode())
    data = NLVRDataset(str(tmp_path), ["dev"])
    assert [data.get_data_info(row)["text"] for row in range(2)] == ["a\u2028b", "c"]
    (tmp_path / "a.yaml").write_bytes(MARK + b"key: value\n")
    assert read_yaml(tmp_path / "a.yaml") == {"key": "value"}


@pytest.mark.parametrize("inner", INNER)
def test_a_vocabulary_that_was_saved_reads_the_same(tmp_path, inner):
    (tmp_path / "captions.txt").write_bytes(f"a red{inner}circle {inner} here\n".encode())
    tokenizer = CorpusTokenizer(corpus_file=str(tmp_path / "captions.txt"))
    tokenizer.save_vocabulary(tmp_path / "vocabulary.txt")
    again = CorpusTokenizer(vocab_file=str(tmp_path / "vocabulary.txt"))
    words = range(tokenizer.vocab_size)
    assert again.convert_ids_to_tokens(words) == tokenizer.convert_ids_to_tokens(words)
