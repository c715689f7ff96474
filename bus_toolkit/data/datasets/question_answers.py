"""Questions about images, with the answers that people gave."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from bus_toolkit.data.annotations.allowed_answers import AllowedAnswers
from bus_toolkit.data.annotations.box_share import BoxShare
from bus_toolkit.data.annotations.joins import one_form
from bus_toolkit.data.annotations.named_boxes import NamedBoxes
from bus_toolkit.data.annotations.question_forms import Question
from bus_toolkit.data.annotations.questions import read_questions
from bus_toolkit.data.datasets.bad_samples import BadSample
from bus_toolkit.data.datasets.base import SampleDataset
from bus_toolkit.data.transforms.blind import refuse_blind_transforms
from bus_toolkit.errors import DataError
from bus_toolkit.home import home_put_in
from bus_toolkit.registry import DATASETS

_log = logging.getLogger(__name__)


@DATASETS.register_module()
class QuestionAnswers(SampleDataset):
    """Read questions about images and their answers: VQA v2, Visual Genome or GQA, distinguished by their form.

    Before the pipeline a sample has ``img_path``, ``text`` (the question), ``image_id``, ``text_id`` (the question's
    id), ``question_type``, and where there are answers ``answer_type``, ``gt_answer`` (the different answers),
    ``gt_answer_weight`` (the share of the annotators that gave each) and ``answers`` (all of them, for
    ``VQAAccuracy``). With boxes it has ``gt_bboxes`` and ``named`` as well, as in ``RegionCaptionDataset``. Slot:
    ``dataset`` of a data loader.

    Args:
        question_file: VQA v2's questions, Visual Genome's ``question_answers.json``, or GQA's questions.
        image_template: Path of an image, with its id in braces: ``data/coco/COCO_val2014_{image_id:012d}.jpg``,
            ``data/gqa/{image_id}.jpg``.
        annotation_file: VQA v2's annotations. ``None`` for the two others, which have answers in their questions, and
            for questions without answers: these can be answered, but neither trained on nor scored.
        pipeline: Transforms; the last one packs. Those that move pixels must move boxes and words too.
        answers_file: Text file, one answer a line, or JSON list: other answers are left out of ``gt_answer``, and so
            are questions that keep none; how many is logged. For training a model that ranks these answers. Answers
            are compared as VQA's evaluation does ("On the table." is "on table"); ``gt_answer`` has the form of the
            list.
        instances_file: COCO instances (``bbox`` as x, y, width, height); ``None`` for no boxes.
        regions_file: JSON, question id to the ids of the instances that it speaks of; others have no boxes.
        box_fraction: Share of the images that keep their boxes, in [0, 1]; which ones follows from image id and
            ``box_seed``.
        box_seed: Seed of that choice.
        max_bad_samples: So many samples without a readable image, a question or proper answers are skipped before the
            run stops; 0 for evaluation, where none may be missing.

    Raises:
        DataError: A missing or malformed file, question ids that occur twice or have no annotation, a template that
            does not fit the ids, one of the two files of boxes alone, an ``answers_file`` that leaves no question, a
            share outside [0, 1], or a transform that would tear pixels, boxes and words apart.
    """

    def __init__(
        self,
        question_file: str,
        image_template: str,
        *,
        annotation_file: str | None = None,
        pipeline: Sequence[Mapping[str, Any]] = (),
        answers_file: str | None = None,
        instances_file: str | None = None,
        regions_file: str | None = None,
        box_fraction: float = 1.0,
        box_seed: int = 0,
        max_bad_samples: int = 10,
    ) -> None:
        name = type(self).__name__
        share = BoxShare(box_fraction, box_seed, name)
        if instances_file is not None:
            refuse_blind_transforms(pipeline, name, "leave out instances_file and regions_file")
        self._question_file = question_file
        self._path = ImageTemplate(image_template, name)
        self._answers = AllowedAnswers(answers_file, name)
        self._questions = self._usable(read_questions(question_file, annotation_file, name), question_file)
        # A template that does not fit is a mistake of the config: the first question shows it before the training.
        self._path.of(self._questions[0].image_id)
        super().__init__(pipeline, size=len(self._questions), max_bad_samples=max_bad_samples)
        images = {one_form(question.image_id) for question in self._questions}
        texts = {one_form(question.question_id) for question in self._questions}
        boxes = NamedBoxes.read(instances_file, regions_file, name, images=images, texts=texts)
        self._boxes = boxes.of_images(share)
        self.boxed_indices = [
            i for i, question in enumerate(self._questions) if self._boxes.has(question.image_id, question.question_id)
        ]

    def get_data_info(self, index: int) -> dict[str, Any]:
        """Return a sample as it enters the pipeline.

        Raises:
            BadSample: Its answers cannot be used, or it names an instance that its image does not have.
        """
        question = self._questions[int(index)]
        if question.problem:
            raise BadSample(self._question_file, question.problem)
        info: dict[str, Any] = {
            "img_path": self._path.of(question.image_id),
            "text": question.text,
            "image_id": question.image_id,
            "text_id": question.question_id,
            "question_type": question.question_type,
        }
        if question.answers:
            counts = Counter(form for form in map(self._answers.form_of, question.answers) if form is not None)
            info["answer_type"] = question.answer_type
            info["gt_answer"] = list(counts)
            info["gt_answer_weight"] = [count / len(question.answers) for count in counts.values()]
            info["answers"] = list(question.answers)
        if self._boxes.has(question.image_id, question.question_id):
            self._boxes.attach(info, question.image_id, question.question_id)
        return info

    def _usable(self, questions: list[Question], file: str) -> list[Question]:
        """Leave out questions without an allowed answer; say when there are no answers at all."""
        if any(question.answers or question.problem for question in questions):
            return self._answers.answered(questions, file)
        self._answers.refuse_without_answers(file)
        _log.warning(
            "%s: %s has no answers: a model can answer its questions, but not be trained or scored on them. VQA v2's "
            "answers are in annotation_file.",
            type(self).__name__,
            file,
        )
        return questions


class ImageTemplate:
    """The path of each image, made from its id.

    Args:
        template: A path with ``{image_id}`` in it, or ``{image_id:012d}`` for a number of 12 digits.
        name: The data set, for messages.
    """

    def __init__(self, template: str, name: str) -> None:
        self.template, self.name = template, name

    def of(self, image_id: Any) -> str:
        """Return the path of an image.

        Raises:
            DataError: The template has no place for the id, or does not fit its type.
        """
        try:
            path = self.template.format(image_id=image_id)
        except (ValueError, KeyError, IndexError, AttributeError) as error:
            raise DataError(
                f"{self.name}.image_template: must be a path with {{image_id}} in it, as a number with "
                f"{{image_id:012d}}, got {self.template!r} for image {image_id!r} ({error}). Correct it."
            ) from error
        if path == self.template:
            raise DataError(f"{self.name}.image_template: needs {{image_id}} where the id goes, got {path!r}. Add it.")
        return str(home_put_in(path))
