"""One checkpoint file: what comes back, what is refused, and that nothing runs."""

import argparse
import io
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from mmengine.logging.history_buffer import HistoryBuffer
from safetensors.torch import save_file

from bus_toolkit.errors import CheckpointError, ConfigError
from bus_toolkit.weights.files import load_checkpoint_file


class Attack:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def save(path, content):
    torch.save(content, path)
    return path


def test_tensors_and_plain_values_come_back(tmp_path):
    content = {"meta": {"epoch": 3, "cfg": "text"}, "state_dict": {"w": torch.arange(3.0)}}
    loaded = load_checkpoint_file(save(tmp_path / "a.pth", content))
    assert loaded["meta"] == content["meta"]
    assert torch.equal(loaded["state_dict"]["w"], content["state_dict"]["w"])


def test_the_log_history_of_mmengine_comes_back(tmp_path):
    history = HistoryBuffer([1.0, 2.0], [1, 1])
    content = {"message_hub": {"log_scalars": {"train/loss": history}, "step": np.float64(2.5), "ids": np.arange(3)}}
    hub = load_checkpoint_file(save(tmp_path / "a.pth", content))["message_hub"]
    assert hub["log_scalars"]["train/loss"].mean() == 1.5
    assert hub["log_scalars"]["train/loss"].statistics("max") == 2.0
    assert hub["step"] == 2.5
    assert hub["ids"].tolist() == [0, 1, 2]


def test_a_file_that_runs_code_is_refused_and_nothing_runs(tmp_path):
    path = save(tmp_path / "a.pth", {"state_dict": {}, "meta": Attack(tmp_path / "hit")})
    with pytest.raises(CheckpointError, match=r"a\.pth: not loaded, .* run code .*mkdir.*trusted_checkpoints: true"):
        load_checkpoint_file(path)
    assert not (tmp_path / "hit").exists()


def test_a_plain_pickle_is_refused_without_the_advice_of_torch(tmp_path):
    (tmp_path / "a.pth").write_bytes(pickle.dumps(Attack(tmp_path / "hit"), protocol=4))
    with pytest.raises(CheckpointError, match=r"not loaded, .* run code") as caught:
        load_checkpoint_file(tmp_path / "a.pth")
    assert "weights_only" not in str(caught.value)
    assert not (tmp_path / "hit").exists()


def test_getattr_gives_nothing_but_history_methods(tmp_path):
    class Reach:
        def __reduce__(self):
            return getattr, (torch.Tensor, "tofile")

    path = save(tmp_path / "a.pth", {"meta": Reach()})
    with pytest.raises(CheckpointError, match="could run code"):
        load_checkpoint_file(path)


def test_a_trusted_file_is_unpickled(tmp_path):
    path = save(tmp_path / "a.pth", {"state_dict": {}, "meta": Attack(tmp_path / "hit")})
    load_checkpoint_file(path, trusted=True)
    assert (tmp_path / "hit").exists()


def test_config_text_that_a_resume_would_execute_is_dropped(tmp_path):
    path = save(tmp_path / "a.pth", {"state_dict": {}, "meta": {"config": "import os; os.mkdir('hit')", "epoch": 1}})
    assert load_checkpoint_file(path)["meta"] == {"epoch": 1}


def test_a_torn_file_is_reported(tmp_path):
    path = save(tmp_path / "a.pth", {"state_dict": {"w": torch.zeros(1000)}})
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(CheckpointError, match=r"a\.pth: not a readable checkpoint \([^.]*\)\. It may be torn"):
        load_checkpoint_file(path)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", r"got an empty file \(0 bytes\)\. Use another, or another copy\."),
        (b"model:\n  type: VLPModel\n", r"Give the path of a \.pth"),
    ],
)
def test_another_kind_of_file_is_reported(tmp_path, content, text):
    (tmp_path / "run.yaml").write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"run\.yaml: not a checkpoint[.,] {text}"):
        load_checkpoint_file(tmp_path / "run.yaml")


def test_a_wrong_limit_in_the_environment_is_not_the_fault_of_a_file(tmp_path, monkeypatch):
    path = save(tmp_path / "a.pth", {"state_dict": {"a": torch.zeros(2)}})
    monkeypatch.setenv("BUS_MAX_ARCHIVE_RATIO", "0")
    with pytest.raises(ConfigError, match=r"^BUS_MAX_ARCHIVE_RATIO: must be a whole number from 1"):
        load_checkpoint_file(path)


def test_a_missing_file_is_reported():
    with pytest.raises(CheckpointError, match=r"gone\.pth: no such checkpoint"):
        load_checkpoint_file("gone.pth")


def test_a_file_without_a_dict_is_reported(tmp_path):
    with pytest.raises(CheckpointError, match=r"not a checkpoint, got a Tensor"):
        load_checkpoint_file(save(tmp_path / "a.pth", torch.zeros(2)))


def test_safetensors_give_a_state_dict(tmp_path):
    save_file({"w": torch.ones(2)}, tmp_path / "a.safetensors")
    assert torch.equal(load_checkpoint_file(tmp_path / "a.safetensors")["state_dict"]["w"], torch.ones(2))


def test_a_broken_safetensors_file_is_reported(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"no")
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        load_checkpoint_file(tmp_path / "a.safetensors")


def test_the_command_line_that_training_scripts_store_is_data(tmp_path):
    args = argparse.Namespace(lr=1e-3, out="x")
    loaded = load_checkpoint_file(save(tmp_path / "a.pth", {"model": {"w": torch.ones(1)}, "args": args}))
    assert loaded["args"].lr == 1e-3


class Program(torch.nn.Module):
    """What OpenAI's CLIP files are: a scripted module."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(2, 2)

    def forward(self, x: torch.Tensor):
        return self.linear(x)


def test_a_torchscript_archive_is_refused_with_a_reason_unless_it_is_trusted(tmp_path):
    program = torch.jit.script(Program())
    program.save(str(tmp_path / "ViT-B-32.pt"))
    with pytest.raises(CheckpointError, match=r"TorchScript archive.*OpenAI's CLIP.*\.safetensors.*trust-checkpoint"):
        load_checkpoint_file(tmp_path / "ViT-B-32.pt")
    loaded = load_checkpoint_file(tmp_path / "ViT-B-32.pt", trusted=True)["state_dict"]
    assert torch.equal(loaded["linear.weight"], program.linear.weight)


def _zipped(pickled, *, kind=zipfile.ZIP_STORED, more=()):
    """Return an archive as torch writes it, around any pickle."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", kind) as archive:
        entries = [("a/data.pkl", pickled), ("a/version", b"3\n"), ("a/byteorder", b"little"), *more]
        for name, content in entries:
            archive.writestr(name, content)
    return out.getvalue()


_EMPTY_ZIP = b"PK\x05\x06" + bytes(18)


@pytest.mark.parametrize(
    "content",
    [
        *(b"\x80", b"\x80\x02", b"\x80\x02J", b"\x80\x02" + b"(" * 5000 + b"t" * 4999),
        b"PK\x03\x04" + b"\0" * 100 + b"PK\x05\x06" + b"\xff" * 18,
        *(_zipped(pickled) for pickled in (b"J", b"\x80", b"\x80\x02.", b"\x80\x02h\x05.", b"\x80\x02\x8a\xff")),
        # A legacy file whose storage claims 16 GB.
        pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + b"\x80\x02}q\0." * 2 + b"\xff" * 16,
    ],
)
def test_damaged_bytes_are_reported_as_such(tmp_path, content):
    file = tmp_path / "a.pth"
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"a\.pth: (not a readable checkpoint|not loaded|damaged)"):
        load_checkpoint_file(file)


def test_an_archive_that_unpacks_to_far_more_than_its_size_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    file = tmp_path / "a.pth"
    file.write_bytes(_zipped(b"\x80\x02}.", kind=zipfile.ZIP_DEFLATED, more=[("a/data/0", bytes(100 << 20))]))
    with pytest.raises(CheckpointError, match=r"claim to hold 1048\d+; allowed are 67108864 .*BUS_MAX_ARCHIVE_RATIO"):
        load_checkpoint_file(file)
    monkeypatch.setenv("BUS_MAX_ARCHIVE_RATIO", "5000")
    assert load_checkpoint_file(file) == {}


def test_a_tensor_that_shows_one_number_as_billions_is_refused(tmp_path):
    file = save(tmp_path / "a.pth", {"w": [torch.zeros(1).expand(10**10)]})
    with pytest.raises(CheckpointError, match="claim to hold 40000000000; allowed"):
        load_checkpoint_file(file)
    held = load_checkpoint_file(save(file, {"w": torch.zeros(1).expand(1000)}))
    assert held["w"].shape == (1000,)
