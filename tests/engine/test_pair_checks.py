"""Batches without a wrong pair are refused where matching draws from one process alone."""

import pytest
from torch import nn
from torch.utils.data import DataLoader

from bus_toolkit.engine.pair_checks import check_wrong_pairs
from bus_toolkit.errors import ConfigError
from bus_toolkit.heads.itm import ITMHead


def model(negatives):
    built = nn.Module()
    built.heads = nn.ModuleDict({"itm": ITMHead(text_dim=4, negatives=negatives)})
    return built


def test_one_image_a_process_has_no_wrong_pair_of_its_own():
    message = r"^train_dataloader.batch_size: must be 2 or more with model.heads.itm.negatives: local, .* got 1\."
    with pytest.raises(ConfigError, match=message):
        check_wrong_pairs(DataLoader(range(4), batch_size=1), "train_dataloader", model("local"))


@pytest.mark.parametrize(("size", "negatives"), [(2, "local"), (1, "global")])
def test_others_are_left_alone(size, negatives):
    check_wrong_pairs(DataLoader(range(4), batch_size=size), "train_dataloader", model(negatives))
    check_wrong_pairs(DataLoader(range(4), batch_size=1), "train_dataloader", nn.Linear(1, 1))
