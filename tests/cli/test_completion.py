"""The script is read by bash itself, which completes commands, sub-commands, arguments and configs."""

import subprocess

import pytest

from bus_toolkit.cli.completion import COMMAND, script
from bus_toolkit.shipped import list_configs


def complete(*words, options=""):
    """Return what bash would offer for the last word, in a shell with ``options``."""
    typed = " ".join(f"'{word}'" for word in ("bus-toolkit", *words))
    probe = f"COMP_WORDS=({typed}); COMP_CWORD={len(words)}; _bus_toolkit; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    done = subprocess.run(["bash", "-c", f"{options}\n{script()}{probe}"], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (
            ["be"],
            [
                "benchmark",
                "benchmark-vlm",
                "benchmark-blip",
                "benchmark-rerank",
                "benchmark-shards",
                "benchmark-annotations",
            ],
        ),
        (["train", "bus/bus_scenes_t"], ["bus/bus_scenes_tiny", "bus/bus_scenes_tiny_5pct_boxes"]),
        (["train", "bus/bus_scenes_tiny", "--res"], ["--resume"]),
        (["describe", "p"], ["parts", "plugins"]),
        (["describe", "config", "prior/prior_s"], ["prior/prior_scenes_tiny"]),
        (["describe", "config", "--cf"], ["--cfg-options"]),
        (["prepare", "refcoco", "--sp"], ["--split-by"]),
        (["infer", "ex"], ["explain"]),
        (["convert-weights", "bus/"], []),
        (["completion", ""], ["bash", "zsh"]),
        (["nothing", "t"], []),
    ],
)
def test_bash_offers(words, offered):
    assert [word for word in complete(*words) if words[-1] or not word.startswith("-")] == offered


def test_every_shipped_config_is_offered():
    assert set(list_configs()) <= set(complete("test", ""))


def test_zsh_reads_the_same_script(capsys):
    COMMAND.main(["zsh"])
    shown = capsys.readouterr().out
    assert shown.startswith("autoload ") and shown.endswith(script())


@pytest.mark.parametrize("options", ["set -u", "set -f", r"IFS=$'\\n'", "IFS=,", "shopt -s nullglob failglob"])
def test_options_of_the_shell_change_nothing(options):
    assert complete("tr", options=options) == ["train"]
    assert complete("describe", "p", options=options) == ["parts", "plugins"]
    assert complete("train", "bus/bus_scenes_t", options=options) == [
        "bus/bus_scenes_tiny",
        "bus/bus_scenes_tiny_5pct_boxes",
    ]
