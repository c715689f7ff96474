"""From the config of a training to that of its model alone: what predicts stays, what trains or lies elsewhere goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bus_toolkit.engine.vocabulary import VOCABULARY_FILE, reading, write_words
from bus_toolkit.errors import CheckpointError
from bus_toolkit.heads.answers import read_answers
from bus_toolkit.home import expand_home
from bus_toolkit.pretrained.own_files import file_settings
from bus_toolkit.registry import REGISTRIES, plain
from bus_toolkit.weights.settings import take_pretrained
from bus_toolkit.weights.words import words_of

TOKENIZER_FOLDER = "tokenizer"
ANSWERS = "answers.txt"
_TOKENIZER_FILES = ("tokenizer.json", "special_tokens_map.json", "tokenizer_config.json", "config.json")
_WITH_WEIGHTS = ("backbone", "text_encoder", "text_decoder")
_RANKING = ("itc_weight", "match_score")  # what Inferencer.retrieve reads of a loop


def predicting_config(
    cfg: Mapping[str, Any], model: Any, pipeline: Sequence[Mapping[str, Any]], folder: Path
) -> dict[str, Any]:
    """Return the config of a saved model, and write the files that it names into ``folder``.

    Momentum copies, queues and heads that only follow copies are training's; so are files that weights came from. Words
    are written as the model has them, whichever file they came from.

    Args:
        cfg: The loaded config of the run.
        model: The built model.
        pipeline: The transforms of its evaluation that every image goes through.
        folder: Where the model is saved.

    Raises:
        CheckpointError: A part is made of files that cannot be put there.
    """
    part = plain(cfg["model"])
    if cfg.get("data_preprocessor") is not None:
        part.setdefault("data_preprocessor", plain(cfg["data_preprocessor"]))
    part.pop("momentum", None)
    part.pop("pretrained", None)
    for name in (name for name in _WITH_WEIGHTS if part.get(name)):
        part[name] = take_pretrained(part[name], {})[0]
        part[name].pop("checkpoint", None)  # of timm, whose weights are among the model's
    part["heads"] = {name: _head(node) for name, node in part["heads"].items() if not _only_follows(node)}
    part["tokenizer"] = _tokenizer(part["tokenizer"], model.tokenizer, folder)
    config = {"model": part, "test_dataloader": _loader(pipeline)}
    loop = plain(cfg.get("test_cfg") or cfg.get("val_cfg") or {})
    ranking = {key: loop[key] for key in ("type", *_RANKING) if key in loop}
    if ranking.keys() & set(_RANKING):
        config["test_cfg"] = ranking
    _refuse_elsewhere(config, folder)
    return config


def write_answers(answers: Sequence[str], config: dict[str, Any], folder: Path) -> None:
    """Write the names of the classes that questions are answered by, and let the pipeline name the file."""
    write_words(answers, folder / ANSWERS)
    nodes = config["test_dataloader"]["dataset"]["pipeline"]
    nodes.insert(1, {"type": "AnswerLabel", "answers_file": ANSWERS})


def _head(node: dict[str, Any]) -> dict[str, Any]:
    arguments = REGISTRIES.heads.get(node["type"]).signature.arguments
    for key, value in (("queue_size", 0), ("alpha", 0.0)):
        if key in arguments:
            node[key] = value
    if isinstance(node.get("answers"), str):
        node["answers"] = read_answers(node["answers"])
    return node


def _only_follows(node: Mapping[str, Any]) -> bool:
    return bool(getattr(REGISTRIES.heads.get(node["type"]).cls, "needs_momentum", False))


def _tokenizer(node: dict[str, Any], tokenizer: Any, folder: Path) -> dict[str, Any]:
    """Return the node of a tokenizer whose files lie in ``folder``."""
    words = words_of(tokenizer)
    takes = REGISTRIES.tokenizers.get(node["type"]).signature.arguments
    if isinstance(node.get("folder"), str):
        source = expand_home(node["folder"])
        for name in (name for name in _TOKENIZER_FILES if (source / name).is_file()):
            (folder / TOKENIZER_FOLDER).mkdir(exist_ok=True)
            (folder / TOKENIZER_FOLDER / name).write_bytes((source / name).read_bytes())
        return {**node, "folder": TOKENIZER_FOLDER}
    if words is None or "vocab_file" not in takes:
        return node
    write_words(words, folder / VOCABULARY_FILE)
    rest = {key: value for key, value in node.items() if key != "vocabulary"}
    return reading(rest, VOCABULARY_FILE)


def _loader(pipeline: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a loader that holds the pipeline: a table of the user's own can be named in it for a test."""
    dataset = {"type": "ImageTextPairs", "ann_file": "pairs.csv", "pipeline": plain(list(pipeline))}
    return {
        "batch_size": 32,
        "num_workers": 0,
        "sampler": {"type": "DefaultSampler", "shuffle": False},
        "dataset": dataset,
    }


def _refuse_elsewhere(config: dict[str, Any], folder: Path) -> None:
    """Refuse parts that are built from files which are not in ``folder``.

    Raises:
        CheckpointError: All of them.
    """
    elsewhere = [
        f"{path} ({node[key]})"
        for node, key, path in file_settings(config)
        if not node[key] or Path(node[key]).is_absolute() or not (folder / node[key]).exists()
    ]
    if elsewhere:
        raise CheckpointError(
            f"save_pretrained: parts of this model are built from files elsewhere, which a saved model cannot hold: "
            f"{', '.join(elsewhere)}. Share the run folder together with them, or train with parts that a config "
            "describes in full (sizes in place of a folder, and pretrained for the weights to start from)."
        )
