import os
import pickle

import numpy as np
import pytest
import torch
from mmengine.logging.history_buffer import HistoryBuffer
from mmengine.runner import CheckpointLoader
from safetensors.torch import save_file

from bus_toolkit.engine.checkpoint import install_safe_loader, latest_checkpoint, load_checkpoint_file
from bus_toolkit.errors import CheckpointError


class Attack:
    """Leaves a file behind when unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.fixture(autouse=True)
def restore_loader():
    yield
    install_safe_loader()


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


@pytest.mark.parametrize("content", [b"", b"model:\n  type: VLPModel\n"])
def test_another_kind_of_file_is_reported(tmp_path, content):
    (tmp_path / "run.yaml").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"run\.yaml: not a checkpoint\. Give the path of a \.pth"):
        load_checkpoint_file(tmp_path / "run.yaml")


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


def test_mmengine_loads_through_the_safe_reader(tmp_path):
    install_safe_loader()
    path = save(tmp_path / "a.pth", Attack(tmp_path / "hit"))
    with pytest.raises(CheckpointError):
        CheckpointLoader.load_checkpoint(str(path))
    assert not (tmp_path / "hit").exists()


@pytest.mark.parametrize(
    "address", ["torchvision://resnet18", "s3://a/b.pth", "petrel://a", "mmcls://a", "open-mmlab://a"]
)
def test_addresses_that_would_be_unpickled_are_refused(address):
    install_safe_loader()
    with pytest.raises(CheckpointError, match="this kind of address is not supported"):
        CheckpointLoader.load_checkpoint(address)


def test_an_http_address_is_fetched_and_read_safely(tmp_path, monkeypatch):
    install_safe_loader()
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))

    def fetch(address, target, progress):
        with open(target, "wb") as file:
            pickle.dump(Attack(tmp_path / "hit"), file)

    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    with pytest.raises(CheckpointError):
        CheckpointLoader.load_checkpoint("https://example.org/a.pth")
    assert not (tmp_path / "hit").exists()


def test_the_pointer_names_the_latest_checkpoint(tmp_path):
    for name in ("epoch_1.pth", "epoch_2.pth"):
        (tmp_path / name).touch()
    (tmp_path / "last_checkpoint").write_text("/moved/elsewhere/epoch_1.pth")
    assert latest_checkpoint(tmp_path) == tmp_path / "epoch_1.pth"


@pytest.mark.parametrize("pointer", [None, "", "/gone/epoch_9.pth"])
def test_the_newest_checkpoint_is_found_without_a_pointer(tmp_path, pointer):
    for age, name in enumerate(["epoch_2.pth", "epoch_1.pth", "best_epoch_1.pth"]):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, ns=(0, 10**9 * (10 - age)))
    if pointer is not None:
        (tmp_path / "last_checkpoint").write_text(pointer)
    assert latest_checkpoint(tmp_path) == tmp_path / "epoch_2.pth"


def test_an_empty_folder_has_no_latest_checkpoint(tmp_path):
    assert latest_checkpoint(tmp_path) is None
