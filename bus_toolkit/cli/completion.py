"""Print a script by which bash or zsh completes ``bus-toolkit``: commands, arguments, names of shipped configs.

The script holds all words, so that completing a word starts no Python. It works under ``set -u`` and any ``IFS``.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator

from bus_toolkit.cli.catalogue import NAMES, find_command
from bus_toolkit.cli.command import Command, add_debug_flag
from bus_toolkit.shipped import list_configs

_SCRIPT = """\
_bus_toolkit() {{
    local IFS=$' \\t\\n'
    local configs={configs}
    local words=
    case "${{COMP_WORDS[*]:1:COMP_CWORD-1}}" in
    '') words={commands} ;;
{cases}
    esac
    COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o default -F _bus_toolkit bus-toolkit
"""
_ZSH = "autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add which shell."""
    parser.add_argument("shell", choices=("bash", "zsh"), help="the shell that reads the script")
    add_debug_flag(parser)


def run(args: argparse.Namespace) -> None:
    """Print the script."""
    print((_ZSH if args.shell == "zsh" else "") + script(), end="")


def script() -> str:
    """Return the functions that complete each word; other words are completed as paths."""
    cases = [case for name in NAMES for case in _cases(name, find_command(name).parser())]
    return _SCRIPT.format(
        configs=shlex.quote(" ".join(list_configs())), commands=shlex.quote(" ".join(NAMES)), cases="\n".join(cases)
    )


def _cases(words: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield a branch of ``case`` for each parser inside this one, deeper ones first, then its own."""
    choices: list[str] = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                yield from _cases(f"{words} {name}", inner)
        choices += action.option_strings if action.help is not argparse.SUPPRESS else ()
        choices += [] if action.option_strings else list(action.choices or ())
        takes_config = not action.option_strings and "CONFIG" in str(action.metavar or action.dest).upper()
        choices += ["$configs"] if takes_config else []
    yield f"""    '{words}' | '{words} '*) words="{" ".join(choices)}" ;;"""


COMMAND = Command(
    "Print a script that completes commands, arguments and configs.",
    add_arguments,
    run,
    'Put eval "$(bus-toolkit completion bash)" into ~/.bashrc, or the same with zsh into ~/.zshrc.',
)
