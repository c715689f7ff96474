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


def test_a_flag_that_took_the_config_is_named(capsys):
    for words in (["--cfg-options", "a=1", "bus/bus_scenes_tiny"], ["--seed", "3"]):
        with pytest.raises(SystemExit, match="2"):
            find_command("train").main(words, prog="bus-toolkit train")
    first, second = (text for text in capsys.readouterr().err.splitlines() if "error:" in text)
    assert first.endswith("config. --cfg-options takes all words that follow it: write the others before it")
    assert second.endswith("required: config")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["c.yaml", "--workdir", "x"], "unrecognized arguments: --workdir x. Did you mean '--work-dir'?"),
        (["c.yaml", "--epochs=5"], "--epochs=5. What a config holds is set by --cfg-options KEY=VALUE, such as train_"),
        (["c.yaml", "d.yaml"], "unrecognized arguments: d.yaml."),
    ],
)
def test_a_flag_that_there_is_not_gets_the_nearest_or_the_way_to_set_a_value_of_the_config(words, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        find_command("train").main(words)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--seed", "-1"], ["--seed", str(2**32)]])
def test_a_seed_that_numpy_does_not_take_is_refused(words, capsys):
    with pytest.raises(SystemExit, match="2"):
        find_command("train").main(["c.yaml", *words])
    assert "argument --seed: must be in 0 to 2^32 - 1, got" in capsys.readouterr().err


@pytest.mark.parametrize("name", NAMES)
def test_no_flag_of_several_values_drops_the_earlier_ones(name):
    several = [action for action in options(find_command(name).parser()) if action.nargs in ("+", "*")]
    assert [action.dest for action in several if not isinstance(action, argparse._ExtendAction)] == []
