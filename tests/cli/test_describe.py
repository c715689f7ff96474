from pathlib import Path

import pytest

from bus_toolkit.cli.describe import COMMAND
from bus_toolkit.errors import PluginError
from bus_toolkit.testing.matrix import Cell

ROOT = Path(__file__).parents[2]
DEMO = str(ROOT / "registry_configs" / "bus" / "bus_scenes_tiny.yaml")


def test_shows_every_part_with_its_arguments_and_origin(capsys):
    COMMAND.main(["parts", "selectors"])
    shown = " ".join(capsys.readouterr().out.split())
    for text in ("BlockView (B, N, D) -> plan", "TSPS", "keep_ratio=0.5", "bus_toolkit,", "embed_dim (width of the"):
        assert text in shown
    assert "PAD" not in shown


def test_shows_plugins(capsys):
    COMMAND.main(["plugins"])
    shown = capsys.readouterr().out
    assert "bus_toolkit" in shown and "loaded" in shown


def test_shows_the_resolved_config(capsys):
    COMMAND.main(["config", DEMO, "--cfg-options", "model.decoder.type=Identity"])
    shown = capsys.readouterr().out
    assert shown.startswith("model:\n  type: bus_toolkit.VLPModel\n")
    assert "  decoder:\n    type: Identity\n" in shown


def test_a_mistake_ends_with_2_and_no_traceback(command_line):
    code, shown, errors = command_line("describe", "config", "no_such.yaml")
    assert (code, shown) == (2, "")
    assert errors.startswith("error: no_such.yaml: no such config file.") and "Traceback" not in errors


def test_an_unknown_kind_suggests_the_nearest():
    from bus_toolkit.errors import ComponentError

    with pytest.raises(ComponentError, match="Did you mean 'selectors'?"):
        COMMAND.main(["parts", "selektors"])


def test_one_part_is_shown_with_the_meaning_of_its_arguments(capsys):
    COMMAND.main(["parts", "TSPS"])
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for text in ("TSPS: patch selector, in model.selectors", "concat reads", "required", "Registered by: bus_toolkit,"):
        assert text in shown.replace("``", "")
    assert "filled in: width of" in shown and "Contract: BlockView" in shown


def test_what_the_runner_builds_is_shown_too(capsys):
    COMMAND.main(["parts", "RichProgressHook"])
    shown = capsys.readouterr().out
    assert "RichProgressHook: hook, built by MMEngine" in shown and "interval" in shown


def test_one_plugin_is_shown_alone(capsys):
    COMMAND.main(["plugins", "bus_toolkit"])
    assert "bus_vlm" not in capsys.readouterr().out
    with pytest.raises(PluginError, match="no such plugin, got 'bus_tolkit'. Did you mean 'bus_toolkit'?"):
        COMMAND.main(["plugins", "bus_tolkit"])


def test_a_refusal_is_shown_once_for_all_combinations_that_share_it(monkeypatch, capsys):
    cells = [Cell({"selectors": name, "decoder": "PAD"}, "", "refused: no") for name in "ab"]
    cells.append(Cell({"selectors": "c", "decoder": "PAD"}, "9 > 4", ""))
    monkeypatch.setattr("bus_toolkit.testing.matrix.swap_matrix", lambda: iter(cells))
    COMMAND.main(["matrix"])
    captured = capsys.readouterr()
    assert captured.out.count("refused: no") == 1 and "(2 parts)" in captured.out
    assert "1 of 3 combinations train." in captured.out and "combinations for two tiny steps each" in captured.err
