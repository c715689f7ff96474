"""The as a user types it: one file, one summary, and one line for each mistake."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file

from bus_toolkit.cli.convert_weights import COMMAND
from bus_toolkit.errors import CheckpointError, ConfigError
from tests.cli.conftest import CommandLine
from tests.weights.sources import HF, vit

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    hf.ViTModel(hf.ViTConfig(**HF)).save_pretrained(tmp_path / "vit")
    return tmp_path / "vit"


def test_a_file_and_a_summary_are_written(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, report = tmp_path / "out.safetensors", tmp_path / "report.txt"
    COMMAND.main([str(folder), "--to", "mmpretrain", "--out", str(out), "--report", str(report)])
    vit().load_state_dict(load_file(out))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"to mmpretrain-vit: {len(load_file(out))} tensors from {folder} (layout hf-vit)."
    assert lines[1] == "  have no place: pooler.dense (2)" and lines[-1] == str(out)
    assert "  layers.1.attn.qkv.weight\n" in report.read_text()


def test_a_report_that_cannot_be_written_is_named_with_its_flag(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    report = tmp_path / "file" / "report.txt"
    with pytest.raises(
        ConfigError, match=rf"--report: cannot write {report}: Not a directory. Set --report to a place"
    ):
        COMMAND.main(
            [str(folder), "--to", "mmpretrain", "--out", str(tmp_path / "o.safetensors"), "--report", str(report)]
        )


def test_the_layouts_are_listed_with_what_a_model_needs(capsys: pytest.CaptureFixture[str]) -> None:
    COMMAND.main(["--list"])
    text = capsys.readouterr().out
    assert "hf-clip: transformers' CLIPVisionModel, and the vision half of CLIPModel" in text
    assert "pre_norm: true" in text and "albef: " in text and "loaded only" in text


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "SOURCE: is missing. Give SOURCE, --to and --out; or --list alone."),
        (["x", "--to", "timm-vit"], "--out: is missing"),
        (["x", "--to", "timm-vit", "--out", "a.pth"], "--out: must end in .safetensors, got a.pth"),
        (["x", "--to", "timm", "--out", "a.safetensors"], "--to: no layout named 'timm'"),
    ],
)
def test_a_wrong_command_line_is_reported(flags: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        COMMAND.main(flags)
    assert str(caught.value).startswith(said)


class Attack:
    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


def test_a_pickle_with_code_needs_the_flag(tmp_path: Path) -> None:
    torch.save({"model": vit().state_dict(), "hook": Attack(tmp_path / "hit")}, tmp_path / "a.pth")
    out = tmp_path / "out.safetensors"
    command = [str(tmp_path / "a.pth"), "--to", "timm-vit", "--out", str(out)]
    with pytest.raises(CheckpointError, match="could run code"):
        COMMAND.main(command)
    assert not (tmp_path / "hit").exists() and not out.exists()
    COMMAND.main([*command, "--trust-checkpoint"])
    assert out.exists()


def test_a_mistake_ends_with_exit_code_2_and_one_line(tmp_path: Path, command_line: CommandLine) -> None:
    words = ("--to", "hf-vit", "--out", str(tmp_path / "a.safetensors"))
    code, _, errors = command_line("convert-weights", str(tmp_path / "gone.pth"), *words)
    assert code == 2
    assert errors.startswith(f"error: {tmp_path / 'gone.pth'}: no such checkpoint.")
    assert "Traceback" not in errors
