import logging

import pytest

from bus_toolkit.evaluation import CaptionMetrics
from bus_toolkit.evaluation.metrics.caption_metrics import caption_scores, most_frequent
from tests.caption_scores.corpus import CAPTIONS, REFERENCES


def _samples(captions=CAPTIONS, references=REFERENCES):
    """Return one sample a reference; samples of one image are given the same caption."""
    return [
        {"image_id": number, "pred_caption": caption, "text": text}
        for number, (caption, texts) in enumerate(zip(captions, references, strict=True))
        for text in texts
    ]


def _evaluate(samples):
    metric = CaptionMetrics()
    metric.process(None, samples)
    return metric.evaluate(len(samples))


def test_an_image_counts_once_with_all_its_captions():
    metrics = _evaluate(_samples())
    # The figures of pycocoevalcap 1.2; see caption_scores/corpus.py.
    expected = {
        "BLEU_1": 0.6811183497712802,
        "BLEU_2": 0.5727353686479655,
        "BLEU_3": 0.40483766164155927,
        "BLEU_4": 0.29119081154608284,
        "ROUGE_L": 0.5419198458703597,
        "CIDEr_D": 1.7391160666560337,
        "num_images": 6.0,
        "num_references": 14.0,
    }
    assert {name: metrics[f"caption/{name}"] for name in expected} == pytest.approx(expected, abs=1e-9)


def test_capitals_and_punctuation_do_not_count():
    loud = [f"{caption.capitalize()}!" for caption in CAPTIONS]
    assert _evaluate(_samples(loud)) == _evaluate(_samples())


def test_the_order_of_the_samples_does_not_matter():
    assert _evaluate(_samples()[::-1]) == pytest.approx(_evaluate(_samples()))


def test_a_sample_may_bring_all_references_of_its_image():
    samples = [
        {"image_id": number, "pred_caption": caption, "text": texts[0], "references": texts}
        for number, (caption, texts) in enumerate(zip(CAPTIONS, REFERENCES, strict=True))
    ]
    assert _evaluate(samples) == _evaluate(_samples())


def test_the_first_prediction_of_an_image_counts():
    samples = _samples()
    later = [dict(s, pred_caption="zebra") if s in samples[1:3] else s for s in samples]
    assert _evaluate(later) == _evaluate(samples)


def test_perfect_captions_beside_a_constant_one():
    references = [["a dog runs on grass", "one dog plays"], ["a cat sleeps all day", "one dog plays"]]
    metrics = _evaluate(_samples([texts[0] for texts in references], references))
    assert metrics["caption/BLEU_4"] == pytest.approx(1.0)
    assert metrics["caption/ROUGE_L"] == 1.0
    # "one dog plays" is a reference of both, so it is the most frequent one, and nothing in it is rare.
    assert metrics["caption/constant_BLEU_3"] == pytest.approx(1.0)
    assert metrics["caption/constant_CIDEr_D"] == 0.0
    assert metrics["caption/CIDEr_D"] > 4.0


def test_the_constant_caption_of_several_is_the_first_by_alphabet(caplog):
    assert most_frequent(["b", "a", "c", "b", "c"]) == "b"
    with caplog.at_level(logging.INFO, "bus_toolkit"):
        _evaluate(_samples())
    assert "the constant caption is 'a bus stands on the street near a tall building'" in caplog.text
    baseline = caption_scores(["a bus stands on the street near a tall building"] * 6, REFERENCES)
    metrics = _evaluate(_samples())
    assert {name: metrics[f"caption/constant_{name}"] for name in baseline} == baseline


def test_a_model_that_writes_no_captions_is_not_reported(caplog):
    with caplog.at_level(logging.WARNING, "bus_toolkit"):
        assert _evaluate([{"text": "a", "image_id": 1}]) == {}
    assert "CaptionMetrics: not reported. None of 1 samples has pred_caption" in caplog.text


def test_chinese_captions_share_characters():
    scores = caption_scores(
        ["\u4e00\u53ea\u732b", "\u4e24\u53ea\u72d7"], [["\u4e00\u53ea\u9ed1\u732b"], ["\u4e24\u53ea\u72d7"]]
    )
    assert scores["BLEU_1"] > 0.8 and scores["CIDEr_D"] > 4 and scores["ROUGE_L"] > 0.8


def test_a_single_image_is_said_to_have_no_cider(caplog):
    with caplog.at_level(logging.WARNING):
        metrics = _evaluate(_samples(CAPTIONS[:1], REFERENCES[:1]))
    assert metrics["caption/CIDEr_D"] == 0.0
    assert "CIDEr_D of a single image is 0, whatever the caption" in caplog.text
    with caplog.at_level(logging.WARNING):
        _evaluate([{**row, "domain": "more" if row["image_id"] else "one"} for row in _samples()])
    assert "one_CIDEr_D of a single image is 0" in caplog.text and "more_CIDEr_D" not in caplog.text
