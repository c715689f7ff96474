import pytest
import torch

from bus_toolkit.weights.files import load_checkpoint_file
from bus_toolkit.weights.run_state import read_section, write_section


def test_sections_come_back_from_a_file_that_is_read_without_running_code(tmp_path):
    checkpoint = {"state_dict": {"w": torch.ones(1)}, "meta": {"epoch": 1}}
    write_section(checkpoint, "config", "model: {}\n")
    write_section(checkpoint, "hooks", {"early_stopping": {"best": 0.5}})
    torch.save(checkpoint, tmp_path / "epoch_1.pth")
    held = load_checkpoint_file(tmp_path / "epoch_1.pth")
    assert read_section(held, "config") == "model: {}\n"
    assert read_section(held, "hooks") == {"early_stopping": {"best": 0.5}}
    assert read_section(held, "progress") is None


@pytest.mark.parametrize("held", [{}, {"meta": None}, {"meta": {}}, {"meta": {"bus_toolkit": "text"}}])
def test_weights_of_another_program_have_no_section(held):
    assert read_section(held, "config") is None


def test_a_section_has_one_writer():
    checkpoint = {}
    write_section(checkpoint, "progress", 0.5)
    with pytest.raises(AssertionError, match="'progress' of the checkpoint has two writers"):
        write_section(checkpoint, "progress", 0.6)
