import zlib

import numpy as np
import pytest
import torch

from bus_toolkit.step.image_ids import EMPTY, UNKNOWN, id_number, lasting_ids


def test_numbers_stay():
    assert [id_number(n, 0) for n in (0, 7, np.int64(7), torch.tensor(7), 2**62 - 1)] == [0, 7, 7, 7, 2**62 - 1]


@pytest.mark.parametrize("image_id", [-1, -5, 2**63, 2**80, "7", "", "beach.png", "\ud800"])
def test_other_ids_become_numbers_of_their_own(image_id):
    number = id_number(image_id, 3)
    assert 2**62 <= number < 2**63 and number == id_number(image_id, 9)
    torch.tensor([number])


def test_a_whole_number_is_one_id_however_it_is_stored():
    assert id_number(7.0, 0) == id_number(np.float64(7), 0) == id_number(torch.tensor(7.0), 0) == id_number(7, 0) == 7
    assert id_number(7.5, 0) != id_number(7, 0)


def test_names_of_one_crc32_are_two_images():
    assert zlib.crc32(b"plumless") == zlib.crc32(b"buckeroo")
    assert id_number("plumless", 0) != id_number("buckeroo", 0)


def test_images_without_ids_differ_within_a_batch_and_are_no_places_of_a_queue():
    numbers = [id_number(None, row) for row in range(4)]
    assert len({*numbers}) == 4 and max(numbers) < UNKNOWN


def test_rows_of_the_data_are_ids_that_last_and_those_of_a_batch_are_none():
    of_data = [id_number(None, place, row) for place, row in ((0, 0), (3, 0), (0, 1), (0, 14_000_000))]
    assert of_data == [-(2**62), -(2**62), -(2**62) - 1, -(2**62) - 14_000_000]
    kept = lasting_ids(torch.tensor([*of_data, 5, 2**62 + 1, id_number(None, 0), id_number(None, 999), EMPTY]))
    assert kept.tolist() == [*of_data, 5, 2**62 + 1, UNKNOWN, UNKNOWN, EMPTY]
