"""What a worker has prepared is what the step would make, and is used only for the texts that it was made of."""

import pickle

import pytest
import torch

from bus_toolkit.engine.prepared_batches import PreparingCollate
from bus_toolkit.step.batch import Batch
from bus_toolkit.step.prepared import FIELD, boxes_of, prepare_rows, tokens_of
from bus_toolkit.tokenizers import CorpusTokenizer
from tests.tiny_model import sample

TEXTS = ["a red circle", "a", "a blue zebra above a star", "a square", "a star"]


def rows(boxed=(True, False, True, False, False)):
    made = [sample(text, number, is_boxed) for number, (text, is_boxed) in enumerate(zip(TEXTS, boxed, strict=True))]
    made[2].gt_boxes, made[2].named = made[2].gt_boxes[:1], made[2].named[:1]
    return made


def sent(samples):
    """Return samples as they come out of a worker."""
    return pickle.loads(pickle.dumps(samples))


@pytest.fixture
def tokenizer():
    return CorpusTokenizer(max_length=6, lengths=[4])


@pytest.mark.parametrize("chosen", [range(5), [1], [3, 4], [4, 0, 2], [1, 3]])
def test_rows_get_what_the_step_would_make_of_them(chosen, tokenizer):
    samples = rows()
    prepare_rows(samples, tokenizer)
    assert tokenizer.num_words == 0, "what a worker sees counts where it is used"
    arrived = sent(samples)
    samples = [arrived[row] for row in chosen]
    plain = [rows()[row] for row in chosen]
    expected = CorpusTokenizer(max_length=6, lengths=[4])([TEXTS[row] for row in chosen])
    for one, other in zip(tokens_of(samples, tokenizer), expected, strict=True):
        assert torch.equal(one, other)
    for one, other in zip(boxes_of(samples), boxes_of(plain), strict=True):
        assert torch.equal(one, other) and one.dtype == other.dtype


def test_what_was_seen_is_counted_once(tokenizer):
    reference = CorpusTokenizer(max_length=6)
    reference(TEXTS)
    samples = rows()
    prepare_rows(samples, tokenizer)
    for part in (samples[:2], samples[2:]):
        tokens_of(part, tokenizer)
    counts = [(one.num_words, one.num_unknown, one.num_truncated) for one in (tokenizer, reference)]
    assert counts[0] == counts[1] and min(counts[0]) > 0


def test_a_text_that_was_changed_is_tokenized_again(tokenizer):
    samples = rows()
    prepare_rows(samples, tokenizer)
    samples[1].set_field("a circle", "text", dtype=None)
    assert tokens_of(samples, tokenizer) is None and tokens_of(samples[2:], tokenizer) is not None
    assert tokens_of([*samples[2:], rows()[0]], tokenizer) is None, "one of another batch"
    assert tokens_of(rows(), tokenizer) is None


def test_a_text_without_words_is_left_for_the_step(tokenizer):
    samples = rows()
    samples[0].set_field("", "text", dtype=None)
    prepare_rows(samples, tokenizer)
    assert FIELD not in samples[1]


def test_collated_batches_are_prepared_and_others_stay(tokenizer):
    collate = PreparingCollate(lambda items: {"inputs": 1, "data_samples": items}, tokenizer)
    batch = pickle.loads(pickle.dumps(PreparingCollate(dict, tokenizer)))([("inputs", 2)])
    assert FIELD in collate(rows())["data_samples"][0] and batch == {"inputs": 2}
    images = torch.zeros(5, 3, 32, 32)
    prepared = collate(rows())["data_samples"]
    one, tokens = Batch(images, rows(), tokenizer), tokens_of(prepared, tokenizer)
    other = Batch(images, prepared, tokenizer, tokens=tokens)
    assert torch.equal(one.tokens.input_ids, other.tokens.input_ids)
    assert torch.equal(one.all_boxes.xyxy, other.all_boxes.xyxy) and torch.equal(one.boxes.valid, other.boxes.valid)
