"""Scores of generated captions, beside those of one caption for all images."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from typing_extensions import override

from bus_toolkit.caption_scores.bleu import corpus_bleu
from bus_toolkit.caption_scores.cider_d import cider_d
from bus_toolkit.caption_scores.java_scores import check_java_scores, java_scores
from bus_toolkit.caption_scores.rouge_l import rouge_l
from bus_toolkit.caption_scores.tokens import caption_tokens
from bus_toolkit.evaluation.metrics.base import SampleMetric, has
from bus_toolkit.evaluation.metrics.sample_ids import SampleId, as_key, in_order
from bus_toolkit.registry import METRICS

_log = logging.getLogger(__name__)


@METRICS.register_module()
class CaptionMetrics(SampleMetric):
    """Compare the generated caption of each image with all of its captions in the data set.

    The references are the field ``references`` (of ``CaptionedImages``), or ``text`` where a sample has none. Samples
    with the same ``image_id`` are one image: their references are put together, the first one's prediction counts.

    Keys under ``caption/``: ``BLEU_1`` to ``BLEU_4`` and ``ROUGE_L`` in [0, 1], ``CIDEr_D`` in [0, 10], ``num_images``,
    ``num_references``; and the same scores as ``constant_<score>`` for the most frequent reference said of every image:
    what a model reaches that has learned how captions sound and does not look. Where samples have a ``domain``
    (``domains_file`` of ``CaptionedImages``), ``CIDEr_D`` and the Java scores of each domain on its own follow as
    ``<domain>_<score>``, each domain a corpus of its own, and the scores without a domain are those of all images
    (NoCaps' "entire"). Goes into ``val_evaluator``.

    Args:
        java_scores: ``METEOR`` and ``SPICE``, which need Java and pycocoevalcap; they come without the constant.
        prefix: The start of the keys.
        collect_device: As in ``SampleMetric``.

    Raises:
        ConfigError: A score that does not exist or cannot be computed here.
    """

    default_prefix = "caption"
    needs = "pred_caption, text and image_id (a model with a CaptionHead)"
    reads = ("pred_caption",)

    def __init__(
        self, *, java_scores: Sequence[str] = (), prefix: str | None = None, collect_device: str = "gpu"
    ) -> None:
        super().__init__(prefix=prefix, collect_device=collect_device)
        check_java_scores(java_scores, "CaptionMetrics.java_scores")
        self.java_scores = tuple(java_scores)

    def row(self, sample: dict) -> dict:
        """Return the prediction and the references of one sample."""
        if not has(sample, "pred_caption", "text", "image_id"):
            return {}
        image = as_key(sample["image_id"])
        references = [str(text) for text in sample.get("references", [sample["text"]])]
        row = {"image": image, "caption": str(sample["pred_caption"]), "references": references}
        return row if sample.get("domain") is None else {**row, "domain": str(sample["domain"])}

    def summarise(self, rows: list[dict]) -> dict[str, float]:
        """Return the scores of the predictions and of the constant caption."""
        captions, wanted = _by_image(rows)
        _warn_of_single_image(wanted, "CIDEr_D")
        constant = most_frequent(chain.from_iterable(wanted))
        _log.info("CaptionMetrics: the constant caption is %r.", constant)
        baseline = caption_scores([constant] * len(wanted), wanted)
        return {
            **caption_scores(captions, wanted),
            **{f"constant_{name}": score for name, score in baseline.items()},
            **java_scores(self.java_scores, *_in_tokens(captions, wanted)),
            "num_images": float(len(wanted)),
            "num_references": float(sum(map(len, wanted))),
            **self._by_domain(rows),
        }

    @override
    def sample_lines(self, samples: Sequence[SampleId], rows: Sequence[dict]) -> Iterator[dict[str, Any]]:
        # One line an image, its first sample's; there is no right and wrong, but a part of CIDEr-D.
        firsts: dict[Hashable, SampleId] = {}
        for sample, row in zip(samples, rows, strict=True):
            firsts.setdefault(row["image"], sample)
        captions, wanted = _by_image(rows)
        tokens = [[caption_tokens(text) for text in of_image] for of_image in wanted]
        parts = cider_d([caption_tokens(text) for text in captions], tokens)
        of_image = list(firsts.values())
        for place in in_order([sample.id for sample in of_image]):
            written = {"prediction": captions[place], "answer": wanted[place], "cider_d": float(parts[place])}
            yield {**self.line_of(of_image[place]), **written}

    def _by_domain(self, rows: list[dict]) -> dict[str, float]:
        """Return the scores of the images of each domain alone."""
        scores: dict[str, float] = {}
        for domain in sorted({row["domain"] for row in rows if "domain" in row}):
            captions, wanted = _by_image([row for row in rows if row.get("domain") == domain])
            _warn_of_single_image(wanted, f"{domain}_CIDEr_D")
            tokens = [[caption_tokens(text) for text in of_image] for of_image in wanted]
            scores[f"{domain}_CIDEr_D"] = float(cider_d([caption_tokens(text) for text in captions], tokens).mean())
            java = java_scores(self.java_scores, *_in_tokens(captions, wanted))
            scores |= {f"{domain}_{name}": score for name, score in java.items()}
            scores[f"{domain}_num_images"] = float(len(wanted))
        if scores and "SPICE" not in self.java_scores:
            _log.info("CaptionMetrics: NoCaps also states SPICE, which needs Java: java_scores: [SPICE].")
        return scores


def _warn_of_single_image(references: Sequence[Sequence[str]], name: str) -> None:
    if len(references) == 1:
        _log.warning(
            "CaptionMetrics: %s of a single image is 0, whatever the caption: it weighs words by how few of the images "
            "have them. Evaluate on more images, or read the other scores.",
            name,
        )


def _by_image(rows: Iterable[dict]) -> tuple[list[str], list[list[str]]]:
    """Return the first caption of each image, and all of its references."""
    captions: dict[Hashable, str] = {}
    references: dict[Hashable, list[str]] = {}
    for row in rows:
        captions.setdefault(row["image"], row["caption"])
        references.setdefault(row["image"], []).extend(row["references"])
    return list(captions.values()), list(references.values())


def caption_scores(captions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Return BLEU-1 to BLEU-4, ROUGE-L and CIDEr-D of one caption an image, given the references of each."""
    candidates = [caption_tokens(caption) for caption in captions]
    wanted = [[caption_tokens(reference) for reference in of_image] for of_image in references]
    bleu = {f"BLEU_{order}": score for order, score in enumerate(corpus_bleu(candidates, wanted), start=1)}
    return {
        **bleu,
        "ROUGE_L": float(rouge_l(candidates, wanted).mean()),
        "CIDEr_D": float(cider_d(candidates, wanted).mean()),
    }


def _in_tokens(captions: Iterable[str], references: Iterable[Iterable[str]]) -> tuple[list[str], list[list[str]]]:
    """Return texts as their tokens joined by spaces, so that all scores see the same words."""
    joined = [" ".join(caption_tokens(caption)) for caption in captions]
    return joined, [[" ".join(caption_tokens(text)) for text in of_image] for of_image in references]


def most_frequent(captions: Iterable[str]) -> str:
    """Return the caption that occurs most often; of several, the first in alphabetical order."""
    counts = Counter(captions)
    return min(counts, key=lambda caption: (-counts[caption], caption))
