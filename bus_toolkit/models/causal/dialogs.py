"""Dialogs about an image as ids of a causal language model; the place of the image is kept apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, NamedTuple

from bus_toolkit.blank_texts import is_blank
from bus_toolkit.errors import ConfigError, DataError, Problem

IMAGE = "<image>"
"""The mark of the image in a text, as in the data of LLaVA."""
PLACE = "{text}"
"""The mark of a text in a prompt."""


class Turn(NamedTuple):
    """A question, and its answer; ``None`` where that is to be written."""

    question: str
    answer: str | None = None


def joined(dialogs: Sequence[Sequence[Turn]], count: int) -> list[list[Turn]]:
    """Return dialogs about one image, ``count`` next to each other, as one, turn by turn."""
    return [list(chain(*dialogs[at : at + count])) for at in range(0, len(dialogs), count)]


@dataclass(frozen=True)
class Template:
    """How a dialog is written down, before it becomes ids.

    Vicuna's, which LLaVA 1.5 has: ``turn: "USER: {text} ASSISTANT:"``.

    Args:
        system: What comes first.
        turn: A question; ``{text}`` is what is asked.

    Raises:
        ConfigError: ``{text}`` is missing or there twice, or the template has a place for the image.
    """

    system: str = ""
    turn: str = PLACE

    def __post_init__(self) -> None:
        if self.turn.count(PLACE) != 1:
            raise ConfigError(Problem("model.template.turn", f"must have {PLACE} once, got {self.turn!r}."))
        if IMAGE in self.system + self.turn:
            text = f"the image has its place in a question ({IMAGE}, or before it), got one in the template. Remove it."
            raise ConfigError(Problem("model.template", text))

    def of(self, question: str) -> str:
        """Return a question as it is written."""
        return self.turn.replace(PLACE, question)


@dataclass(frozen=True)
class Row:
    """A dialog as ids.

    Attributes:
        ids: The start mark, and all words; an answer that is there ends by the end mark.
        image_at: How many of them come before the image.
        is_answer: Which of them are to be learned.
        question_ends: The last of them before each turn's answer.
    """

    ids: tuple[int, ...]
    image_at: int
    is_answer: tuple[bool, ...]
    question_ends: tuple[int, ...] = ()

    @property
    def question(self) -> range:
        """Return which ids a selector may read: those between the image and the first answer.

        Where there are none, all before the first answer. An answer must not choose what is seen.
        """
        end = self.is_answer.index(True) if any(self.is_answer) else len(self.ids)
        return range(self.image_at if self.image_at < end else 0, end)


class DialogWriter:
    """Write dialogs as ids.

    Parts of a dialog become ids one by one, as the image and the answers are apart from the rest (our choice; a
    tokenizer that joins words over such a border would give other ids for the whole).

    Args:
        tokenizer: As the models have it: ``[CLS] words [SEP]``. Its first id starts a dialog, its last ends an answer.
        template: How they are written down.
        longest: Most ids of a dialog: later turns that do not fit are left out, a first one that does not is cut.
            ``None`` for no limit.
    """

    def __init__(self, tokenizer: Any, template: Template, longest: int | None = None) -> None:
        self._tokenizer, self._template, self._longest = tokenizer, template, longest

    def rows(self, dialogs: Sequence[Sequence[Turn]]) -> list[Row]:
        """Return dialogs as ids.

        Raises:
            DataError: An image elsewhere than in the first question, or several.
        """
        written = [[list(self._parts(dialog, place)) for place in range(len(dialog))] for dialog in dialogs]
        known = self._ids({part.text for turns in written for turn in turns for part in turn})
        return [self._row(turns, known) for turns in written]

    def _parts(self, dialog: Sequence[Turn], place: int) -> Iterator[_Part]:
        question, answer = dialog[place]
        count, first = question.count(IMAGE), place == 0
        if count > int(first):
            raise DataError(
                f"CausalVLM: a dialog must have one {IMAGE}, in its first question, got {count} in question "
                f"{place + 1} ({question[:60]!r}). Split it into dialogs of an image each."
            )
        if first:
            yield _Part(self._template.system, "words")
            question = question if count else f"{IMAGE}\n{question}"
        before, _, after = self._template.of(question).partition(IMAGE)
        yield _Part(before, "words")
        if first:
            yield _Part("", "image")
            yield _Part(after, "words")
        if answer is not None:
            yield _Part(answer, "answer")

    def _ids(self, texts: set[str]) -> dict[str, list[int]]:
        """Return the ids of texts, without marks; a blank text has none."""
        words = [text for text in texts if not is_blank(text)]
        known: dict[str, list[int]] = {text: [] for text in texts}
        if words:
            ids, mask = self._tokenizer(words)
            for text, row, length in zip(words, ids.tolist(), mask.sum(dim=1).tolist(), strict=True):
                known[text] = row[1 : length - 1]
        return known

    def _row(self, turns: Sequence[Sequence[_Part]], known: Mapping[str, list[int]]) -> Row:
        ids, learned, image_at, ends = [self._tokenizer.cls_token_id], [False], 0, []
        for place, turn in enumerate(turns):
            length = len(ids)
            for part in turn:
                if part.kind == "image":
                    image_at = len(ids)
                is_answer = part.kind == "answer"
                ids += known[part.text] + [self._tokenizer.sep_token_id] * is_answer
                learned += [is_answer] * (len(ids) - len(learned))
            if place and self._longest is not None and len(ids) > self._longest:
                ids, learned = ids[:length], learned[:length]
                break
            ends.append(max(at for at in range(len(ids)) if not learned[at]))
        ids, learned = ids[: self._longest], learned[: self._longest]
        ends = [min(end, len(ids) - 1) for end in ends]
        return Row(tuple(ids), min(image_at, len(ids)), tuple(learned), tuple(ends))


class _Part(NamedTuple):
    text: str
    kind: Literal["words", "image", "answer"]
