"""A special token that is typed in a text is text."""

from __future__ import annotations

import copy
import pickle

import pytest

from bus_toolkit.tokenizers import CorpusTokenizer, TextTokenizer, WordPieceTokenizer


@pytest.mark.parametrize("kind", [WordPieceTokenizer, CorpusTokenizer])
@pytest.mark.parametrize("copied", [lambda same: same, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_typed_token_is_brackets_and_a_word(kind: type[TextTokenizer], copied: object) -> None:
    tokenizer = copied(kind())  # type: ignore[operator]
    typed = "red [SEP] [MASK] [PAD] [CLS] [UNK] blue"
    ids, mask = tokenizer([typed, "red", "\ufdd0"])
    assert mask[0].all()
    assert not {0, tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.mask_token_id} & set(ids[0, 1:-1].tolist())
    assert tokenizer.convert_ids_to_tokens(ids[2])[:4] == ["[CLS]", "[UNK]", "[SEP]", "[PAD]"]
    assert mask[2].tolist() == [True] * 3 + [False] * (len(mask[2]) - 3)
    assert tokenizer(["\ufdd0", "\ufdd0"]).input_ids.shape == (2, 3)


def test_bert_reads_the_letters_back() -> None:
    tokenizer = WordPieceTokenizer()
    assert tokenizer.decode(tokenizer(["a [MASK] dog"]).input_ids[0]) == "a [mask] dog"
