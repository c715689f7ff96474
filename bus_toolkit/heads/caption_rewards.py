"""How good written captions are for a training: CIDEr-D with the document frequencies of the training's captions."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property
from typing import Any

from bus_toolkit.caption_scores.cider_d import DocumentFrequencies, cider_d
from bus_toolkit.caption_scores.tokens import Tokens, caption_tokens
from bus_toolkit.errors import DataError
from bus_toolkit.home import expand_home
from bus_toolkit.json_text import parse_json
from bus_toolkit.text_files import read_utf8

END = "</s>"  # no word of a caption: its punctuation is dropped


class CaptionRewards:
    """CIDEr-D of several captions an image.

    Args:
        captions_file: COCO captions JSON (``annotations`` with ``image_id`` and ``caption``) that gives the document
            frequencies, read when they are first needed; ``None`` for those of each batch's references.
        count_end: Whether the end of a caption counts as a word, as in Rennie et al. (arXiv 1612.00563, appendix E):
            without it, texts that break off, such as "a dog on a", score so well that training comes to write them
            (ruotianluo/self-critical.pytorch). mPLUG does not count it. A written caption that was cut has no end.
    """

    def __init__(self, captions_file: str | None = None, *, count_end: bool = False) -> None:
        self.captions_file, self.count_end = captions_file, count_end

    @cached_property
    def frequencies(self) -> DocumentFrequencies | None:
        """The document frequencies of the file; ``None`` without one.

        Raises:
            DataError: It cannot be read, or is of another form.
        """
        if self.captions_file is None:
            return None
        setting = "reward.captions_file"
        text = read_utf8(expand_home(self.captions_file), setting, advice="Give the captions of the training.")
        of_images: dict[Hashable, list[Tokens]] = {}
        try:
            for note in parse_json(text)["annotations"]:
                of_images.setdefault(note["image_id"], []).append(self._tokens(note["caption"], has_ended=True))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{setting}: {self.captions_file} is no file of COCO captions ({type(error).__name__}: {error}). It "
                "must hold annotations with image_id and caption."
            ) from error
        return DocumentFrequencies(of_images.values())

    def __call__(
        self,
        captions: Sequence[Sequence[str]],
        references: Sequence[Sequence[str]],
        have_ended: Sequence[Sequence[bool]],
    ) -> list[list[float]]:
        """Return the score, in [0, 10], of each of K captions of B images.

        Args:
            captions: The captions of each image.
            references: The reference captions of each image.
            have_ended: Whether each caption has an end, or was cut.
        """
        wanted = [[self._tokens(text, has_ended=True) for text in of_image] for of_image in references]
        frequencies = self.frequencies or DocumentFrequencies(wanted)
        repeated = [of_image for of_image, texts in zip(wanted, captions, strict=True) for _ in texts]
        written = [
            self._tokens(text, has_ended=has_ended)
            for texts, ended in zip(captions, have_ended, strict=True)
            for text, has_ended in zip(texts, ended, strict=True)
        ]
        scores = iter(cider_d(written, repeated, frequencies=frequencies).tolist())
        return [[next(scores) for _ in texts] for texts in captions]

    def _tokens(self, text: str, *, has_ended: bool) -> Tokens:
        words = caption_tokens(text)
        return [*words, END] if self.count_end and has_ended else words


def caption_rewards(reward: Mapping[str, Any] | None) -> CaptionRewards:
    """Return the rewards of a head's ``reward`` setting.

    Raises:
        ValueError: A setting that does not exist.
    """
    try:
        return CaptionRewards(**(reward or {}))
    except TypeError as error:
        raise ValueError(f"reward: it takes captions_file, count_end, got {dict(reward or {})} ({error}).") from error
