"""What weights say of themselves in a safetensors file comes back where a .pth has it."""

from __future__ import annotations

import json
import math

import pytest
import torch
from safetensors.torch import save_file

from bus_toolkit.errors import CheckpointError
from bus_toolkit.weights.files import load_checkpoint_file
from bus_toolkit.weights.header_sections import header_of, sections_in
from bus_toolkit.weights.reading import source_of
from bus_toolkit.weights.run_state import read_section


def test_progress_words_and_grids_come_back(tmp_path):
    header = header_of({"epoch": 1.5, "iteration": 7}, ["[PAD]", "né"], {"vit": {"patch_grid": (2, 3), "version": 1}})
    save_file({"vit.pos": torch.zeros(6, 2)}, tmp_path / "w.safetensors", metadata=header)
    held = load_checkpoint_file(tmp_path / "w.safetensors")
    assert read_section(held, "progress") == {"epoch": 1.5, "iteration": 7}
    source = source_of(held, "w")
    assert source.words == ["[PAD]", "né"] and source.grid_of("vit.pos") == (2, 3)


def test_what_is_not_known_is_left_out():
    assert json.loads(header_of({"epoch": math.inf, "iteration": 0}, None, {})["bus_toolkit"]) == {"version": 1}
    assert sections_in({}) == ({}, {})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not a readable safetensors file"),
        ("[1]", "is no mapping"),
        ('{"progress": {"epoch": NaN, "iteration": 1}}', "an epoch and an iteration from 0, got nan, 1"),
        ('{"progress": {"epoch": 1, "iteration": true}}', "an epoch and an iteration from 0, got 1, True"),
        ('{"progress": 3}', "its progress is no mapping"),
        ('{"vocabulary": [1]}', "its vocabulary is no list of words"),
        ('{"grids": {"vit": [0, 2]}}', "a grid must be two whole numbers"),
        ('{"grids": [3]}', "its grids are no mapping"),
    ],
)
def test_a_header_that_says_something_else_is_refused(tmp_path, content, message):
    save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors", metadata={"bus_toolkit": content})
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint_file(tmp_path / "w.safetensors")
