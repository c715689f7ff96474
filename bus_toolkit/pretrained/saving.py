"""Write a trained model as a folder that can be shared."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bus_toolkit.config import dump_yaml
from bus_toolkit.data.whole_folder import whole_folder
from bus_toolkit.errors import ConfigError
from bus_toolkit.home import expand_home
from bus_toolkit.json_text import dump_json
from bus_toolkit.plugin.manager import list_plugins
from bus_toolkit.plugin.records import versioned
from bus_toolkit.pretrained.card import Facts, card_text
from bus_toolkit.pretrained.layout import (
    CARD,
    CONFIG,
    INDEX,
    TRAINING,
    WEIGHTS,
    Index,
    digests_of,
    is_saved_model,
    read_index,
)
from bus_toolkit.pretrained.own_files import set_paths
from bus_toolkit.pretrained.predicting import predicting_config, write_answers
from bus_toolkit.pretrained.recipe import RESULTS, results_of, saved_folder, training_of
from bus_toolkit.pretrained.weights import write_weights
from bus_toolkit.writing import writing


def save_model(
    folder: str | Path,
    *,
    cfg: Any,
    model: Any,
    pipeline: Sequence[Mapping[str, Any]],
    answers: Sequence[str] | None,
    run: Path | None,
    licence: str | None = None,
) -> Path:
    """Write a model into a folder that appears whole or not at all; one that was saved there before is replaced.

    Args:
        folder: Where to.
        cfg: The loaded config of its training, or of a saved model, whose record and results go along.
        model: In eval mode.
        pipeline: The transforms that every image goes through.
        answers: Names of the classes that questions are answered by; ``None`` if it answers in words, or not at all.
        run: The run folder, whose results go into the card; ``None`` without one.
        licence: Of the weights, as SPDX writes it, such as ``Apache-2.0``; ``None`` leaves it open.

    Returns:
        The folder.

    Raises:
        ConfigError: The folder cannot be written, or holds something else.
        CheckpointError: A part is made of files that cannot be put there.
    """
    target = expand_home(folder).resolve()
    _refuse_other_content(target)
    with writing(target, "save_pretrained (--out)"), whole_folder(target) as scratch:
        config = predicting_config(cfg, model, pipeline, scratch)
        if answers is not None:
            write_answers(answers, config, scratch)
        (scratch / CONFIG).write_text(dump_yaml(config), encoding="utf-8")
        training = training_of(cfg)
        (scratch / TRAINING).write_text(dump_yaml(training), encoding="utf-8")
        results = results_of(saved_folder(cfg) or run)
        if results is not None:
            (scratch / RESULTS).write_text(dump_json(asdict(results), indent=1), encoding="utf-8")
        readable = copy.deepcopy(config)
        set_paths(readable, scratch, digests_of(scratch))
        write_weights(model, readable, scratch / WEIGHTS)
        plugins = plugins_in(config)
        facts = Facts(config, training, model, plugins, results, scratch / WEIGHTS, target.name, licence)
        (scratch / CARD).write_text(card_text(facts), encoding="utf-8")
        index = Index(digests_of(scratch), plugins, versioned("bus_toolkit"))
        (scratch / INDEX).write_text(index.text(), encoding="utf-8")
    return target


def plugins_in(config: Any) -> dict[str, str]:
    """Return the plugins of which parts are in a config, with the packages that bring them."""
    named = set(_words(config))
    found = {}
    for record in list_plugins()[1:]:  # the first has the built-in parts
        if named & {component.rsplit(" ", 1)[-1] for component in record.components}:
            found[record.name] = record.distribution
    return found


def _words(node: Any) -> Collection[str]:
    """Return the types of all parts, and the mode of conditioning, without scopes."""
    if isinstance(node, Mapping):
        own = {str(node[key]).rsplit(".", 1)[-1] for key in ("type", "mode") if key in node}
        return own.union(*(_words(value) for value in node.values()))
    return set().union(*(_words(value) for value in node)) if isinstance(node, list) else set()


def _refuse_other_content(folder: Path) -> None:
    """Refuse a folder in which a user has something: it would be lost, as the repository that was cloned from a hub."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"save_pretrained (--out): must be a folder, got the file {folder}. Name a new folder.")
    held = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if is_saved_model(folder):
        held -= {CARD, INDEX, *(name.split("/")[0] for name in read_index(folder).files)}
    if held:
        raise ConfigError(
            f"save_pretrained (--out): {folder} holds other files, which would be lost, the first: {min(held)}. Name a "
            "new folder, or one that holds what save_pretrained has written and nothing else."
        )
