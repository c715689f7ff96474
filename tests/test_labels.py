import numpy as np
import pytest
import torch

from bus_toolkit.labels import as_label


@pytest.mark.parametrize("value", [2, np.int64(2), np.array([2]), torch.tensor(2), torch.tensor([2])])
def test_a_whole_number_in_any_form_is_a_label(value):
    assert as_label(value) == 2


@pytest.mark.parametrize("value", [0.7, 1.0, "1", [0, 1], None, np.array([0.5]), torch.tensor([1.0]), torch.zeros(0)])
def test_fractions_words_and_several_numbers_are_none(value):
    with pytest.raises(ValueError, match="a class label must be one whole number, got "):
        as_label(value)
