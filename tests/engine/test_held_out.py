"""An evaluation of images that were trained on is named."""

import pytest

from bus_toolkit.engine import RunOptions, train
from tests.engine.own_pairs import CONFIG, settings, write_pairs


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_pairs(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("override", "shared"),
    [("val_dataloader.dataset.split=null", "8 of its 10"), ("val_dataloader.dataset.val_share=0.5", "3 of its 5")],
)
def test_images_that_are_trained_on_and_evaluated_on_get_a_warning(folder, override, shared, capsys):
    train(CONFIG, settings(folder, override), RunOptions(work_dir="run"))
    warnings = [line for line in capsys.readouterr().err.splitlines() if "train_dataloader.dataset too" in line]
    assert len(warnings) == 1
    assert warnings[0].startswith(
        f"WARNING val_dataloader.dataset: {shared} images are images of train_dataloader.dataset too"
    )
    assert "Set split: train there and split: val here with one val_share" in warnings[0]


def test_the_shipped_split_shares_no_image(folder, capsys):
    train(CONFIG, settings(folder), RunOptions(work_dir="run"))
    assert "train_dataloader.dataset too" not in capsys.readouterr().err
