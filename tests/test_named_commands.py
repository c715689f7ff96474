"""Every command that a message, a docstring, a YAML or a document names exists where it is read."""

import argparse
import re
import shlex
from pathlib import Path

import pytest

from bus_toolkit.cli.catalogue import NAMES, find_command

ROOT = Path(__file__).parents[1]
SUFFIXES = {".py", ".txt", ".md", ".yaml", ".yml"}
READ = sorted(
    path
    for folder in ("bus_toolkit", "registry_configs", "plugins", "tools")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in SUFFIXES
)
READ += [ROOT / "README.md", ROOT / "Makefile"]
# What an installed toolkit does not have; configs and documents of the repository may name it.
INSTALLED = [path for path in READ if path.is_relative_to(ROOT / "bus_toolkit")]
COMMAND = re.compile(r"(?:bus-toolkit|python -m bus_toolkit) ((?:[a-z][a-z0-9_-]*)(?: [a-z][a-z0-9_-]*)?)")
SCRIPT = re.compile(r"(?<![\w/])tools/[\w/]+\.(?:py|sh)")


def sub_commands(name):
    """Return the words that must follow a command's name, if it has sub-commands."""
    actions = find_command(name).parser()._actions
    return {word for a in actions if isinstance(a, argparse._SubParsersAction) for word in a.choices}


def named(path):
    return [shlex.split(words) for words in COMMAND.findall(path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("path", READ, ids=lambda path: str(path.relative_to(ROOT)))
def test_named_commands_exist(path):
    for name, *following in named(path):
        assert name in NAMES, f"{path} names bus-toolkit {name}"
        known = sub_commands(name)
        assert not known or not following or following[0] in known, f"{path} names bus-toolkit {name} {following[0]}"
    for script in SCRIPT.findall(path.read_text(encoding="utf-8")):
        assert (ROOT / script).is_file(), f"{path} names {script}"


@pytest.mark.parametrize("path", INSTALLED, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_package_names_no_script_of_the_repository(path):
    assert SCRIPT.findall(path.read_text(encoding="utf-8")) == []


def test_commands_are_named_at_all():
    assert {words[0] for path in INSTALLED for words in named(path)} >= {"train", "verify", "shards", "describe"}
