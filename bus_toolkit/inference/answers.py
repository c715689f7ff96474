"""Answers of a model that classifies questions: the names of its classes, from the file that labelled its data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bus_toolkit.data.scenes.cache import scene_folder
from bus_toolkit.errors import ConfigError
from bus_toolkit.heads import ClassificationHead, VLPHead, VQAHead, find_head
from bus_toolkit.heads.answers import read_answers
from bus_toolkit.home import expand_home
from bus_toolkit.inference.heads import head_for

_LOADERS = ("test_dataloader", "val_dataloader", "train_dataloader")


def answering_head(model: Any, cfg: Mapping[str, Any]) -> VLPHead:
    """Return the head that answers questions: one that writes or ranks answers, else one that classifies them.

    Raises:
        ConfigError: The model has neither, or its classes are no answers.
    """
    heads = model.heads.values()
    classifies = find_head(heads, ClassificationHead)
    if find_head(heads, VQAHead) is None and classifies is not None and _all_files(cfg):
        return classifies
    return head_for(model, "answer")


def class_answers(cfg: Mapping[str, Any], head: VLPHead | None) -> list[str] | None:
    """Return the answer that each class of a head means: the lines of ``answers_file`` of the ``AnswerLabel``.

    Args:
        cfg: The loaded config.
        head: The head that is asked.

    Returns:
        ``None`` for a head of another kind, and for classes that are no answers.

    Raises:
        ConfigError: There is no such file, or it has another number of answers.
    """
    files = _all_files(cfg)
    if not isinstance(head, ClassificationHead) or not files:
        return None
    file = next((name for name in files if expand_home(name).is_file()), None)
    if file is None:
        raise ConfigError(
            f"Inferencer.answer: a {type(head).__name__} gives numbers of classes, whose names are in answers_file of "
            f"an AnswerLabel in the pipeline, got {', '.join(files)}, which is not there. Put the file there "
            "(the data of a demo are drawn again by its training)."
        )
    try:
        answers = read_answers(file)
    except ValueError as error:
        raise ConfigError(f"Inferencer.answer: answers_file: {error}") from error
    if len(answers) != head.num_classes:
        raise ConfigError(
            f"Inferencer.answer: answers_file must name each of the {head.num_classes} classes of the head, got "
            f"{len(answers)} answers in {file}. Give the file of the training."
        )
    return answers


def _all_files(cfg: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(file for loader in _LOADERS for file in _files(cfg.get(loader), "")))


def _files(node: Any, folder: str) -> Iterator[str]:
    """Yield the files that label answers, with the folder of generated scenes filled in."""
    if isinstance(node, Mapping):
        if node.get("data_root") and node.get("split") and node.get("num_images"):
            folder = str(scene_folder(node["data_root"], node["split"], node["num_images"]))
        if str(node.get("type")).rsplit(".", 1)[-1] == "AnswerLabel" and node.get("answers_file"):
            yield str(node["answers_file"]).replace("{folder}", folder)
        for value in node.values():
            yield from _files(value, folder)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _files(value, folder)
