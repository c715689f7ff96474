"""YAML configs, and overrides of the command line."""

import re
from functools import cache

from bus_toolkit.config import config_text, load_config, load_config_text
from bus_toolkit.errors import BusError
from tests.fuzz.mutation import SCALARS, damage_text
from tests.fuzz.target import Target

_BASE = "bus/bus_scenes_tiny"
_SMALL = [
    b"_base_: bus/bus_scenes_tiny\nmodel:\n  selectors:\n    - {type: Random, blocks: [1], keep_ratio: 0.5}\n",
    b"_base_: [bus/bus_scenes_tiny]\nsettings: {x: 1}\nrandomness: {seed: ${settings.x}}\nwork_dir: ${HOME:-a}/b\n",
    b"a: &a {x: 1, y: [1, 2]}\nb: {<<: *a, y: *a}\nc: &c [*a, *a]\nd: [*c, *c]\ncustom_hooks: [*a]\n",
    b"train_cfg: {by_epoch: true, max_epochs: 1e1}\noptim_wrapper:\n  clip_grad: {type: norm, max_norm: 1}\n",
    b"? [a, b]\n: 1\n'k': \"\\e[31m\"\nt: |\n  text\n  more\nn: 0o17\n--- \n...\n",
]


@cache
def _blocks():
    """Return the resolved base config as one text a top-level key."""
    text = config_text(load_config(_BASE)).encode()
    return re.split(rb"(?m)^(?=\w)", text)[1:]


@cache
def _paths():
    def walk(node, path):
        yield path
        children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, value in children:
            yield from walk(value, f"{path}.{key}" if path else str(key))

    return list(walk(load_config(_BASE).to_dict(), ""))[1:]


def _yaml(rng):
    if rng.random() < 0.6:
        return damage_text(rng, rng.choice(_SMALL))
    blocks = [block for block in _blocks() if rng.random() < 0.3]
    return damage_text(rng, b"".join(blocks))


def _read_yaml(data, folder):
    file = folder / "config.yaml"
    file.write_bytes(data)
    config = load_config(file)
    assert load_config_text(config_text(config), "again").to_dict() == config.to_dict()


def _words(rng):
    words = []
    for _ in range(rng.choice((1, 1, 2))):
        path = rng.choice(_paths())
        if rng.random() < 0.5:
            keys = path.split(".")
            keys[rng.randrange(len(keys)) :] = [rng.choice(("type", "0", "-1", "x", "", "9" * 20, "²", keys[-1]))]
            path = ".".join([*keys, *(["type"] if rng.random() < 0.2 else [])])
        words.append(f"{path}={rng.choice(SCALARS)}")
    return damage_text(rng, "\n".join(words).encode()) if rng.random() < 0.3 else "\n".join(words).encode()


def _apply_words(data, folder):
    load_config(_BASE, data.decode("utf-8", "surrogateescape").split("\n"))


TARGETS = (
    Target("config", _yaml, _read_yaml, (BusError,), _blocks),
    Target("overrides", _words, _apply_words, (BusError,), _paths),
)
