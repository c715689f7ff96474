"""What a causal vision-language model is asked about a sample, and what becomes of the words that it writes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

import torch

from bus_toolkit.errors import ConfigError, DataError, Problem
from bus_toolkit.heads.answers import read_answers
from bus_toolkit.models.causal.dialogs import PLACE, Turn

Size = tuple[int, int]


class Task:
    """Base of tasks: a prompt with ``{text}`` in the place of the sample's text, an answer, and fields of a prediction.

    Class attributes: ``predicts``, the fields that it writes; ``names_objects``, whether its question says what the
    named boxes of a sample show, so that a selector can learn from them.

    Args:
        prompt: What is asked; ``{text}`` is the sample's text.
        weight: Factor of its loss in the sum, 0 or more.
        texts_per_dialog: In training, so many texts of an image at most are turns of one dialog, whose answers are all
            learned: the image is read once for them, as for LLaVA 1.5 (arXiv 2310.03744, appendix). What selects reads
            the first of them alone.

    Raises:
        ValueError: A negative weight, or fewer than one text.
    """

    predicts: ClassVar[tuple[str, ...]] = ()
    names_objects: ClassVar[bool] = True

    def __init__(self, *, prompt: str = PLACE, weight: float = 1.0, texts_per_dialog: int = 1) -> None:
        if not weight >= 0:
            raise ValueError(f"weight: must be 0 or more, got {weight}.")
        if texts_per_dialog < 1:
            raise ValueError(f"texts_per_dialog: must be at least 1, got {texts_per_dialog}.")
        self.prompt, self.weight, self.texts_per_dialog = prompt, weight, texts_per_dialog

    def turns(self, num_texts: int) -> int:
        """Return how many texts of an image that has ``num_texts`` become one dialog.

        Raises:
            DataError: They cannot be shared out evenly.
        """
        if num_texts > self.texts_per_dialog and num_texts % self.texts_per_dialog:
            raise DataError(
                f"model.tasks: texts_per_dialog must share the {num_texts} texts of an image evenly, got "
                f"{self.texts_per_dialog}. Change it, or texts_per_image of the data set TextsOfImage."
            )
        return min(num_texts, self.texts_per_dialog)

    def dialog(self, sample: Any, size: Size) -> list[Turn]:
        """Return what is asked of a data sample, with the right answer where it is known.

        Args:
            sample: The data sample.
            size: Height and width of the model's input in pixels.
        """
        return [Turn(self.prompt.replace(PLACE, sample.text), self.answer(sample, size))]

    def answer(self, sample: Any, size: Size) -> str | None:
        """Return the right answer; ``None`` where there is none."""
        raise NotImplementedError(f"{type(self).__name__} has no answer(sample, size).")

    def fields(self, written: str, size: Size) -> dict[str, Any]:
        """Return what the written words mean, by the names of ``predicts``."""
        return dict.fromkeys(self.predicts, written)

    def prepare(self, tokenizer: Any, path: str) -> None:
        """Take what the task needs of the vocabulary.

        Raises:
            ConfigError: Words that it needs are missing.
        """


class AnswerTask(Task):
    """Answer the question that is a sample's text, from ``gt_answer`` (kind ``answer``).

    Of several answers the one that most people gave is learned, the first of equal ones, as ``AnswerLabel`` has it (our
    choice). Written are ``pred_answer`` and, with ``answer_list``, ``pred_label``: the place of the answer in the list,
    -1 where it is not on it.

    Args:
        prompt: As in ``Task``.
        answer_list: A list, a text file with one answer a line, or a JSON list.
        weight: As in ``Task``.
        texts_per_dialog: As in ``Task``.

    Raises:
        ValueError: The list cannot be used.
    """

    predicts: ClassVar[tuple[str, ...]] = ("pred_answer", "pred_label")

    def __init__(
        self,
        *,
        prompt: str = PLACE,
        answer_list: str | Sequence[str] | None = None,
        weight: float = 1.0,
        texts_per_dialog: int = 1,
    ) -> None:
        super().__init__(prompt=prompt, weight=weight, texts_per_dialog=texts_per_dialog)
        self._answers = [] if answer_list is None else read_answers(answer_list)
        if not self._answers:
            self.predicts = ("pred_answer",)  # type: ignore[misc]

    def answer(self, sample: Any, size: Size) -> str | None:
        answers = sample.get("gt_answer")
        if not answers or isinstance(answers, str):
            return answers or None
        weights = sample.get("gt_answer_weight") or [1.0] * len(answers)
        return answers[max(range(len(answers)), key=weights.__getitem__)]

    def fields(self, written: str, size: Size) -> dict[str, Any]:
        label = {"pred_label": self._places.get(written, -1)} if self._answers else {}
        return {"pred_answer": written, **label}

    def prepare(self, tokenizer: Any, path: str) -> None:
        self._tokenizer = tokenizer

    @cached_property
    def _places(self) -> dict[str, int]:
        """The place of each answer of the list, by how it comes back from ids."""
        ids, _ = self._tokenizer(self._answers)
        places: dict[str, int] = {}
        for place, row in enumerate(ids.tolist()):
            places.setdefault(self._tokenizer.decode(row), place)
        return places


class CaptionTask(Task):
    """Describe the image; a sample's text is the answer (kind ``caption``). Written is ``pred_caption``.

    Args:
        prompt: What is asked, the same of all.
        weight: As in ``Task``.
    """

    predicts = ("pred_caption",)
    names_objects = False

    def __init__(self, *, prompt: str = "describe the image", weight: float = 1.0) -> None:
        super().__init__(prompt=prompt, weight=weight)
        if PLACE in prompt:
            raise ValueError(f"prompt: the text of a sample is the answer here, got {prompt!r}. Leave {PLACE} out.")

    def answer(self, sample: Any, size: Size) -> str | None:
        return sample.text


class GroundTask(Task):
    """Write the box of what a sample's text means as four numbers (kind ``ground``). Written is ``pred_box``.

    Left, top, right and bottom as whole numbers from 0 to ``num_bins`` - 1, shares of the image's sides (as in OFA,
    arXiv 2202.03052, there as words of their own; plain numbers as in Shikra, arXiv 2306.15195). Words that are no four
    numbers are the box (0, 0, 0, 0). Samples with one named box in view are learned from.

    Args:
        prompt: As in ``Task``.
        num_bins: Steps of a side, 2 or more.
        weight: As in ``Task``.
        texts_per_dialog: As in ``Task``.

    Raises:
        ValueError: Fewer steps.
    """

    predicts = ("pred_box",)

    def __init__(
        self, *, prompt: str = PLACE, num_bins: int = 100, weight: float = 1.0, texts_per_dialog: int = 1
    ) -> None:
        super().__init__(prompt=prompt, weight=weight, texts_per_dialog=texts_per_dialog)
        if num_bins < 2:
            raise ValueError(f"num_bins: must be at least 2, got {num_bins}.")
        self.num_bins = num_bins

    def answer(self, sample: Any, size: Size) -> str | None:
        boxes, named = sample.get("gt_boxes"), sample.get("named")
        if boxes is None or named is None or int(torch.as_tensor(named).sum()) != 1:
            return None
        box = torch.as_tensor(boxes)[torch.as_tensor(named).bool()][0].cpu().float()
        steps = (box / self._sides(size) * (self.num_bins - 1)).round().clamp(0, self.num_bins - 1)
        return " ".join(str(int(step)) for step in steps)

    def fields(self, written: str, size: Size) -> dict[str, Any]:
        numbers = [min(int(number), self.num_bins - 1) for number in re.findall(r"\d+", written)]
        box = torch.tensor(numbers if len(numbers) == 4 else [0] * 4, dtype=torch.float32)
        return {"pred_box": box / (self.num_bins - 1) * self._sides(size)}

    def prepare(self, tokenizer: Any, path: str) -> None:
        unknown = tokenizer.survey([str(number) for number in range(self.num_bins)]).unknown
        if unknown:
            text = (
                f"a box is written as numbers from 0 to {self.num_bins - 1}, and the vocabulary has no "
                f"{next(iter(unknown))!r} ({len(unknown)} such numbers). Add them to vocab_file, or use a "
                "WordPieceTokenizer."
            )
            raise ConfigError(Problem(path, text))

    @staticmethod
    def _sides(size: Size) -> torch.Tensor:
        height, width = size
        return torch.tensor([width, height, width, height], dtype=torch.float32)


class ChatTask(Task):
    """Go on with a dialog of ``Conversations`` (kind ``chat``): all answers are learned, the last one is written.

    Written is ``pred_answer``.

    Args:
        prompt: As in ``Task``, for each question.
        weight: As in ``Task``.
    """

    predicts = ("pred_answer",)

    def dialog(self, sample: Any, size: Size) -> list[Turn]:
        turns = sample.get("conversation")
        if not turns:
            raise DataError(
                "model.tasks: kind chat reads the conversation of a sample, got one without. Use the data set "
                "Conversations, make_samples(texts, conversation=[[(question, None)], ...]), or kind answer or caption."
            )
        return [Turn(self.prompt.replace(PLACE, question), answer) for question, answer in turns]
