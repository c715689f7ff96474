import os
import pickle

import pytest
import torch
from mmengine.runner import CheckpointLoader

from bus_toolkit.engine.checkpoint import install_safe_loader, latest_checkpoint
from bus_toolkit.errors import CheckpointError
from bus_toolkit.weights.reading import read_tensors
from tests.weights.server import serving


class Attack:
    """Writes a file when unpickled."""

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
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "a.pth").write_bytes(pickle.dumps(Attack(tmp_path / "hit")))
    with serving(tmp_path / "served") as server, pytest.raises(CheckpointError):
        CheckpointLoader.load_checkpoint(f"{server}/a.pth")
    assert not (tmp_path / "hit").exists()


@pytest.mark.parametrize("trusted", [True, False])
def test_the_toolkits_own_readers_trust_alike(tmp_path, trusted):
    install_safe_loader(trusted=trusted)
    save(tmp_path / "a.pth", {"state_dict": {"w": torch.ones(1)}, "hook": Attack(tmp_path / "hit")})
    if trusted:
        assert list(read_tensors(tmp_path / "a.pth").tensors) == ["w"]
    else:
        with pytest.raises(CheckpointError, match="could run code"):
            read_tensors(tmp_path / "a.pth")
    assert (tmp_path / "hit").exists() == trusted


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


def test_the_pointer_may_name_a_folder_of_any_letters(tmp_path):
    folder = tmp_path / os.fsdecode(b"w dir \xc3\xa4 \xff")
    folder.mkdir()
    for name in ("epoch_1.pth", "epoch_2.pth"):
        (folder / name).touch()
    (folder / "last_checkpoint").write_bytes(os.fsencode(folder / "epoch_1.pth"))
    assert latest_checkpoint(folder) == folder / "epoch_1.pth"
