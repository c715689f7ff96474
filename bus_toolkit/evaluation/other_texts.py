"""Texts of other images in the place of a row's own, for what selects alone: what is reading the right one worth?"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Any, NamedTuple

from bus_toolkit.data.datasets.bad_samples import BadSample
from bus_toolkit.data.leaves import leaves
from bus_toolkit.declarations import declared
from bus_toolkit.errors import ConfigError, DataError
from bus_toolkit.evaluation.metrics.sample_ids import as_key
from bus_toolkit.evaluation.wanted_fields import metric_fields
from bus_toolkit.heads.itm import ITMHead
from bus_toolkit.models.vlp import VLPModel
from bus_toolkit.step.batch import SELECTING_TEXT
from bus_toolkit.structures import Condition

_NAME = "VLPEvalLoop.selecting_text"


class _Row(NamedTuple):
    """A row of a data set; ``text`` without capitals and outer spaces."""

    image: Hashable
    text: str
    kind: str
    written: str


class OtherTexts:
    """For each row of a data set the text of another image.

    It is that of the next row, in the order of the data set and from its end to its beginning, that shows another image
    and has another text; of the same ``question_type``, where there is such a row. So it depends on the data set alone:
    not on batches, their size or the number of ranks. That the next row is taken is our choice.

    Args:
        dataset: A data set with ``get_data_info``, or a wrapper of such; nothing of the images is read.

    Raises:
        DataError: Another data set, or one in which no row shows another image and has another text.
    """

    def __init__(self, dataset: Any) -> None:
        rows = list(_rows(dataset))
        by_kind: dict[str, list[_Row]] = {}
        for row in rows:
            by_kind.setdefault(row.kind, []).append(row)
        self._others = _next_others(rows)
        for of_kind in by_kind.values():
            self._others |= _next_others(of_kind)
        alone = next((row for row in rows if (row.image, row.text) not in self._others), None)
        if alone is not None or not rows:
            got = f"{alone.written!r} of image {alone.image!r}" if alone is not None else "no row"
            raise DataError(
                f"{_NAME}: other needs for each row one of another image with another text, got {got} without. "
                "Evaluate on more images, or set it to own."
            )

    def write(self, samples: Sequence[Any]) -> None:
        """Give each data sample the text that selects in the place of its own.

        Raises:
            DataError: The data set did not list its text: the pipeline changes texts, or ids.
        """
        for sample in samples:
            other = self._others.get((as_key(sample.get("image_id")), _plain(sample.text)))
            if other is None:
                raise DataError(
                    f"{_NAME}: other pairs the rows that the data set lists, got {sample.text!r} of image "
                    f"{sample.get('image_id')!r}, which it does not list. Leave transforms that change texts out."
                )
            sample.set_field(other, SELECTING_TEXT, dtype=None)


def check_other_texts(model: Any, metrics: Sequence[Any], rerank_topk: int) -> None:
    """Refuse an evaluation in which the selectors cannot read another text than the rest, or nobody would see it.

    Raises:
        ConfigError: Re-ranking; a model that no text can make select otherwise, or in which words and patches cannot be
            separated; a metric of predictions that no text or texts of pairs select for.
    """
    if rerank_topk:
        raise ConfigError(
            f"{_NAME}: other does not go with re-ranking, whose pairs have both texts. Set rerank_topk to 0."
        )
    if not isinstance(model, VLPModel):
        raise ConfigError(f"{_NAME}: other needs a VLPModel, got {type(model).__name__}. Set it to own.")
    encoders = model.encoders
    if encoders.stream is not None:
        raise ConfigError(
            f"{_NAME}: other needs a text that selects beside the one that is fused, got SingleStreamFusion, where "
            "they are one. Set it to own."
        )
    if encoders.backbone.needs_boxes:
        raise ConfigError(
            f"{_NAME}: other needs selectors that read the text, got one that reads its boxes. Set it to own."
        )
    if not encoders.reads_text and (encoders.prior is None or encoders.prior.needs_scores):
        raise ConfigError(
            f"{_NAME}: other changes nothing here: no selector, decoder or prior of this model reads the text. Set it "
            "to own."
        )
    unasked = {
        field: name
        for name, head in model.heads.items()
        if head.sees is not Condition.CAPTION or isinstance(head, ITMHead)
        for field in declared(head, "predicts", "predict") or ()
    }
    for metric in metrics:
        field = next((field for field in metric_fields(metric) or () if field in unasked), None)
        if field is not None:
            kind = type(metric).__name__
            raise ConfigError(
                f"{_NAME}: other is for predictions that the own text selects for, got {kind}, which reads {field} of "
                f"model.heads.{unasked[field]}. Remove {kind} from the evaluator, or set selecting_text to own."
            )


def _rows(dataset: Any) -> Iterator[_Row]:
    for leaf in leaves(dataset):
        if not hasattr(leaf, "get_data_info"):
            raise DataError(
                f"{_NAME}: other needs a data set that lists its texts (get_data_info), got {type(leaf).__name__}. Set "
                "it to own."
            )
        for row in range(len(leaf)):
            try:
                info = leaf.get_data_info(row)
            except BadSample:
                continue  # counted where it is read
            if info.get("image_id") is None or not isinstance(info.get("text"), str):
                raise DataError(
                    f"{_NAME}: other needs text and image_id of each row, got {type(leaf).__name__} with a row without."
                    " Set it to own."
                )
            text = info["text"]
            yield _Row(as_key(info["image_id"]), _plain(text), str(info.get("question_type") or ""), text)


def _next_others(rows: Sequence[_Row]) -> dict[tuple[Hashable, str], str]:
    """Return by image and text the text of the next row with another image and another text, where there is one.

    A run of equal texts is left in one step, so that a kind of which most rows ask the same costs no square of them.
    """
    count = len(rows)
    after_run = [2 * count] * (2 * count + 1)
    for place in range(2 * count - 2, -1, -1):
        same = rows[place % count].text == rows[(place + 1) % count].text
        after_run[place] = after_run[place + 1] if same else place + 1
    others: dict[tuple[Hashable, str], str] = {}
    for start, row in enumerate(rows):
        place = start + 1
        while place < start + count:
            other = rows[place % count]
            if other.text == row.text:
                place = after_run[place]
            elif other.image == row.image:
                place += 1
            else:
                others.setdefault((row.image, row.text), other.written)
                break
    return others


def _plain(text: str) -> str:
    return text.strip().casefold()
