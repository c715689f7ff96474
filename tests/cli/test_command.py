import argparse

import pytest

from bus_toolkit.cli.catalogue import NAMES, find_command
from bus_toolkit.cli.command import Parser, add_cfg_options


def options(parser):
    """Yield the optional arguments of a parser and of its sub-commands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from options(inner)
        elif action.option_strings:
            yield action


def test_overrides_given_twice_add_up():
    parser = Parser()
    add_cfg_options(parser, "overrides")
    words = ["--cfg-options", "a=1", "--cfg-options", "b=2", "c=3"]
    assert parser.parse_args(words).cfg_options == ["a=1", "b=2", "c=3"]
    assert parser.parse_args([]).cfg_options == []


@pytest.mark.parametrize("name", NAMES)
def test_no_flag_of_several_values_drops_the_earlier_ones(name):
    several = [action for action in options(find_command(name).parser()) if action.nargs in ("+", "*")]
    assert [action.dest for action in several if not isinstance(action, argparse._ExtendAction)] == []
