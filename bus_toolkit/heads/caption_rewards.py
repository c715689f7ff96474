"""How good written captions are for a training: CIDEr-D with the document frequencies of the training's captions."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import cached_property

from bus_toolkit.caption_scores.cider_d import DocumentFrequencies, cider_d
from bus_toolkit.caption_scores.tokens import Tokens, caption_tokens
from bus_toolkit.errors import DataError
from bus_toolkit.home import expand_home
from bus_toolkit.json_text import parse_json
from bus_toolkit.text_files import read_utf8


class CaptionRewards:
    """CIDEr-D of several captions an image.

    Args:
        captions_file: COCO captions JSON (``annotations`` with ``image_id`` and ``caption``) that gives the document
            frequencies, read when they are first needed; ``None`` for those of each batch's references.
    """

    def __init__(self, captions_file: str | None) -> None:
        self.captions_file = captions_file

    @cached_property
    def frequencies(self) -> DocumentFrequencies | None:
        """The document frequencies of the file; ``None`` without one.

        Raises:
            DataError: It cannot be read, or is of another form.
        """
        if self.captions_file is None:
            return None
        setting = "captions_file"
        text = read_utf8(expand_home(self.captions_file), setting, advice="Give the captions of the training.")
        of_images: dict[Hashable, list[Tokens]] = {}
        try:
            for note in parse_json(text)["annotations"]:
                of_images.setdefault(note["image_id"], []).append(caption_tokens(note["caption"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{setting}: {self.captions_file} is no file of COCO captions ({type(error).__name__}: {error}). It "
                "must hold annotations with image_id and caption."
            ) from error
        return DocumentFrequencies(of_images.values())

    def __call__(self, captions: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> list[list[float]]:
        """Return the score, in [0, 10], of each of K captions of B images, given the references of each image."""
        wanted = [[caption_tokens(text) for text in of_image] for of_image in references]
        frequencies = self.frequencies or DocumentFrequencies(wanted)
        repeated = [of_image for of_image, texts in zip(wanted, captions, strict=True) for _ in texts]
        scores = iter(
            cider_d(
                [caption_tokens(text) for texts in captions for text in texts], repeated, frequencies=frequencies
            ).tolist()
        )
        return [[next(scores) for _ in texts] for texts in captions]
