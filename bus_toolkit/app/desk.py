"""One model that answers questions one at a time, with all the heads that it has."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import nullcontext
from http import HTTPStatus
from typing import Any

import numpy as np

from bus_toolkit.app.gallery import Gallery
from bus_toolkit.app.pictures import as_address, decoded, in_size, png_of_side
from bus_toolkit.app.question import MOST_CAPTIONS, MOST_CHARACTERS, Question
from bus_toolkit.app.refusals import RequestRefused
from bus_toolkit.decoders import IdentityDecoder
from bus_toolkit.errors import DataError
from bus_toolkit.inference import Inferencer
from bus_toolkit.inference.pictures import png_of
from bus_toolkit.limits import UPLOAD_BYTES

_SIDE = 640
_TOPK = 6


class Desk:
    """A model, the images and captions that the app was started with, and a turn for each question.

    Args:
        inferencer: The model. Its keep ratio changes while a question with one of its own is answered.
        gallery: Images to choose from.
        captions: That the page starts with.
        classes: The names of the classes of a classification head, in order; without them it answers by numbers.
    """

    def __init__(
        self, inferencer: Inferencer, gallery: Gallery, captions: Sequence[str] = (), classes: Sequence[str] = ()
    ) -> None:
        self._inferencer, self.gallery = inferencer, gallery
        self._captions, self._classes = list(captions), list(classes)
        self._side = _only_size(inferencer)
        self._index = gallery.index(inferencer, self._side)
        self._turn, self._closed = threading.Lock(), False

    def about(self) -> dict[str, Any]:
        """Return what the page shows and asks for."""
        return {
            "run": self._inferencer.source,
            "abilities": list(self._inferencer.abilities),
            "keep_ratios": self._inferencer.keep_ratios,
            "captions": self._captions,
            "gallery": self.gallery.names,
            "most_bytes": UPLOAD_BYTES.value,
            "most_characters": MOST_CHARACTERS,
            "most_captions": MOST_CAPTIONS,
        }

    def ask(self, question: Question) -> dict[str, Any]:
        """Return all that the model says about an image, as plain objects.

        ``image`` (an address that holds the picture as it came, at most 640 px), ``size`` (its width and height),
        ``seen`` (as the model saw it), ``grid``, ``stages`` (each with ``name``, ``tokens``, ``kept``, ``scores``) and
        ``seconds``; ``caption``; with a text and the heads for them ``scores``, ``answer``, ``class``, ``box``,
        ``images``; with captions ``captions``.

        Raises:
            RequestRefused: There is no such image in the gallery, or the app is ending.
            BusError: The image or the keep ratio cannot be used.
        """
        with self._turn:
            if self._closed:
                raise RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, "The app is ending.")
            start = time.perf_counter()
            pixels, ratio = self._pixels(question), question.keep_ratio
            shown, pixels = pixels, in_size(pixels, self._side)
            with nullcontext() if ratio is None else self._inferencer.at_keep_ratio(ratio):
                found = self._patches(pixels, question.text) | self._answers(pixels, question)
            if "box" in found:
                across, down = shown.shape[1] / pixels.shape[1], shown.shape[0] / pixels.shape[0]
                found["box"]["corners"] = [
                    v * f for v, f in zip(found["box"]["corners"], [across, down] * 2, strict=True)
                ]
            return found | {
                "image": as_address(png_of_side(shown, _SIDE)),
                "size": [shown.shape[1], shown.shape[0]],
                "seconds": round(time.perf_counter() - start, 3),
            }

    def close(self, seconds: float = 10.0) -> None:
        """Wait for the question that is being answered; no other one will be."""
        self._closed = True
        if self._turn.acquire(timeout=seconds):
            self._turn.release()

    def _pixels(self, question: Question) -> np.ndarray:
        if question.gallery is None:
            return decoded(lambda: question.image, "The image")
        if question.gallery >= len(self.gallery):
            raise RequestRefused(HTTPStatus.NOT_FOUND, f"There is no image {question.gallery}: load the page again.")
        return self.gallery.pixels(question.gallery)

    def _patches(self, pixels: np.ndarray, text: str) -> dict[str, Any]:
        (read,) = self._inferencer.read_patches(pixels, text or None)
        abstracts_nothing = isinstance(self._inferencer.model.decoder, IdentityDecoder)
        everything = np.ones(read["grid"], dtype=bool).tolist()
        stages = [
            {"name": "Before any selection", "tokens": read["tokens"]["patches"], "kept": everything, "scores": None}
        ]
        for stage in read["selectors"]:
            one = {name: stage[name] for name in ("tokens", "kept", "scores")}
            stages.append({"name": f"After block {stage['block']}"} | one)
        return {
            "seen": as_address(png_of(read["picture"])),
            "grid": read["grid"],
            "stages": stages,
            "decoded": None if abstracts_nothing else read["tokens"]["decoder"],
        }

    def _answers(self, pixels: np.ndarray, question: Question) -> dict[str, Any]:
        model, text, found = self._inferencer, question.text, dict[str, Any]()
        can = set(model.abilities)
        if "caption" in can:
            found["caption"] = model.caption(pixels)[0]["caption"]
        if text and "answer" in can:
            (row,) = model.answer(pixels, text)
            found["answer"] = {"words": row["answer"], "probability": row.get("score")}
        answered = found.get("answer", {}).get("probability") is not None  # by the classes of the same head
        if text and "label" in can and not answered:
            chosen = model.label(pixels, text)[0]
            number = chosen["label"]
            name = self._classes[number] if number < len(self._classes) else f"class {number}"
            found["class"] = {"name": name, "probability": chosen["probability"]}
        if text and "ground" in can:
            box = model.ground(pixels, text)[0]
            found["box"] = {"corners": box["box"], "score": box["score"]}
        if "retrieve" in can and (text or question.captions):
            found |= self._nearest(pixels, question, rerank="retrieve(rerank=...)" in can)
        return found

    def _nearest(self, pixels: np.ndarray, question: Question, *, rerank: bool) -> dict[str, Any]:
        model, found = self._inferencer, dict[str, Any]()
        index = model.index(pixels, rerank=rerank)
        near = _TOPK if rerank else None

        def texts(words: Sequence[str]) -> list[dict[str, Any]]:
            (hits,) = model.retrieve(index, list(words), topk=_TOPK, rerank=near, direction="i2t")
            return [{name: hit[name] for name in ("text", "score", "match") if name in hit} for hit in hits]

        if question.text:
            (own,) = texts([question.text])
            found["scores"] = {name: own[name] for name in ("score", "match") if name in own}
        if question.captions:
            found["captions"] = texts(question.captions)
        if question.text and self._index is not None:
            (hits,) = model.retrieve(self._index, question.text, topk=_TOPK, direction="t2i")
            found["images"] = [{"number": hit["index"], "score": hit["score"]} for hit in hits]
        return found


def _only_size(inferencer: Inferencer) -> tuple[int, int] | None:
    """Return width and height of the only images that a model takes; ``None`` if its pipeline brings others to it.

    Models of drawn scenes are trained and tested without a resize. Here any image is dropped, so the app resizes it.
    """
    height, width = inferencer.model.backbone.image_size
    try:
        inferencer.read_patches(np.zeros((height + 1, width + 1, 3), np.uint8))
    except DataError:
        return width, height
    return None
