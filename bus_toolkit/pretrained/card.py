"""The model card: what a saved model is, what it was made of, what it costs, and what it is good for."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bus_toolkit.config import dump_yaml
from bus_toolkit.plugin.records import versioned
from bus_toolkit.pretrained.card_costs import costs_of
from bus_toolkit.pretrained.card_sources import SOURCED, sources_of
from bus_toolkit.pretrained.card_uses import uses_of
from bus_toolkit.pretrained.recipe import Results
from bus_toolkit.safe_text import safe_lines

_SCENES = ("SceneTask", "SceneDataset")


@dataclass(frozen=True)
class Facts:
    """What the card is made from.

    Attributes:
        config: The config of the model as it is saved.
        training: The record of the training.
        model: The model.
        plugins: Plugins whose parts it has, with the packages that bring them.
        results: What its run has measured; ``None`` if nothing is known.
        weights: The written file.
        name: Of the folder.
        licence: Of the weights; ``None`` leaves it open.
    """

    config: Mapping[str, Any]
    training: Mapping[str, Any]
    model: Any
    plugins: Mapping[str, str]
    results: Results | None
    weights: Path
    name: str
    licence: str | None


def card_text(facts: Facts) -> str:
    """Return the card as Markdown with the header that hubs read."""
    sections = (
        _head(facts),
        _use(facts),
        _data(facts),
        _recipe(facts),
        _sources(facts),
        _costs(facts),
        _results(facts),
        _licence(facts),
    )
    return safe_lines("\n\n".join("\n".join(section) for section in sections) + "\n")


def shown(value: object) -> str:
    """Return a text of others for a cell of a table: no markup of Markdown or HTML in it has an effect."""
    text = html.escape(" ".join(str(value).split()), quote=False)
    for mark in "\\`|*_[]":
        text = text.replace(mark, f"\\{mark}")
    return text


def _head(facts: Facts) -> Iterator[str]:
    header: dict[str, Any] = {"library_name": "bus_toolkit", "tags": ["vision-language", "token-reduction"]}
    kinds = [use.hub_task for use in uses_of(facts.model) if use.hub_task]
    if kinds:
        header["pipeline_tag"] = kinds[0]
    if facts.licence:
        header["license"] = facts.licence.lower()
    yield f"---\n{dump_yaml(header)}---"
    yield f"\n# {shown(facts.name)}\n"
    selectors = [f"`{node['type']}`" for node in facts.config["model"].get("selectors") or []]
    reads = f"drops visual tokens by {', '.join(selectors)}" if selectors else "keeps all visual tokens"
    yield f"A vision-language model of {versioned('bus_toolkit')} that {reads}. This card was generated when"
    yield "the model was saved; it may be edited."


def _use(facts: Facts) -> Iterator[str]:
    yield "## Use\n"
    yield "```python"
    yield "import bus_toolkit\n"
    name = json.dumps(facts.name, ensure_ascii=False)  # a name of others stays within its quotes
    yield f"model = bus_toolkit.from_pretrained({name})  # this folder, or hf-hub:OWNER/NAME"
    for use in uses_of(facts.model):
        yield use.call
    yield "```\n"
    yield "Intended for research on models with fewer visual tokens, with images and texts like those of its training."
    yield "Nothing was measured on others, nor on what it makes of people; do not let it decide about any."
    if facts.plugins:
        brought = ", ".join(f"`{name}` ({shown(package)})" for name, package in facts.plugins.items())
        yield f"\nParts of it are brought by plugins, which must be installed: {brought}."


def _data(facts: Facts) -> Iterator[str]:
    dataset = (facts.training.get("train_dataloader") or {}).get("dataset")
    yield "## Data\n"
    if dataset is None:
        yield "Not known: the config has no training data."
        return
    node = _without(dataset, "pipeline")
    if any(kind in str(node) for kind in _SCENES):
        yield "Scenes that the toolkit generates: what is measured on them says nothing about photographs.\n"
    yield "The data set of the training, as its config describes it (`training.yaml` has all of it):\n"
    text = dump_yaml(node)
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))  # no text of others ends the block
    yield f"{fence}yaml\n{text}{fence}"


def _recipe(facts: Facts) -> Iterator[str]:
    cfg = facts.training
    wrapper, loop = cfg.get("optim_wrapper") or {}, cfg.get("train_cfg") or {}
    optimizer = wrapper.get("optimizer") or {}
    start = cfg.get("load_from")
    rows = {
        "optimizer": optimizer.get("type"),
        "learning rate": optimizer.get("lr"),
        "weight decay": optimizer.get("weight_decay"),
        "samples a step and process": (cfg.get("train_dataloader") or {}).get("batch_size"),
        "length": ", ".join(f"{key} {loop[key]}" for key in ("max_epochs", "max_iters") if loop.get(key)) or None,
        "precision": wrapper.get("dtype"),
        "seed": (cfg.get("randomness") or {}).get("seed"),
        "started from": _start(start) if start else "random weights, unless a part names its own (`training.yaml`)",
    }
    yield "## Recipe\n"
    yield from _table(("setting", "value"), [(key, value) for key, value in rows.items() if value is not None])


def _sources(facts: Facts) -> Iterator[str]:
    yield "## What is sourced, and what is a reconstruction\n"
    yield f"{SOURCED}\n"
    for place, kind, text in sources_of(facts.config["model"]):
        yield f"- `{place}`: `{kind}`. {html.escape(text, quote=False)}"


def _costs(facts: Facts) -> Iterator[str]:
    costs = costs_of(facts.model, facts.weights)
    yield "## Measured costs\n"
    yield "Counted in passes of this model, for one text of the greatest length and its image.\n"
    yield from _table(("what", "count"), list(costs.items()))


def _results(facts: Facts) -> Iterator[str]:
    yield "## Results\n"
    if facts.results is None:
        yield "None were found in the run folder."
        return
    yield f"Of the run that trained it, on the {facts.results.split} split of its data.\n"
    yield from _table(("metric", "value"), [(name, _number(value)) for name, value in facts.results.metrics.items()])


def _licence(facts: Facts) -> Iterator[str]:
    yield "## Licence\n"
    if facts.licence:
        yield f"The weights: {shown(facts.licence)}. The toolkit that runs them: Apache-2.0."
    else:
        yield "Not stated. Who shares these weights must state one that the data of the training permit. The toolkit"
        yield "that runs them is under Apache-2.0."


def _start(value: Any) -> str:
    name = value.get("checkpoint") if isinstance(value, Mapping) else value
    return f"weights of another training, {Path(str(name)).name}"


def _number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:.4g}"


def _without(node: Any, key: str) -> Any:
    if isinstance(node, dict):
        return {name: _without(value, key) for name, value in node.items() if name != key}
    return [_without(value, key) for value in node] if isinstance(node, list) else node


def _table(head: Sequence[str], rows: Sequence[tuple[object, object]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "| --- | --- |"
    for row in rows:
        yield f"| {' | '.join(map(shown, row))} |"
