from __future__ import annotations

import logging

import pytest

from bus_toolkit.data.annotations.joins import check_join, one_form
from bus_toolkit.errors import DataError


@pytest.mark.parametrize("identity", [7, "7", 7.0])
def test_a_number_is_one_id_in_all_its_forms(identity):
    assert one_form(identity) == 7 and type(one_form(identity)) is int


@pytest.mark.parametrize("identity", ["007", "7.0", "+7", "٧", "beach", 7.5, float("nan"), None, True, "9" * 5000])
def test_anything_else_stays(identity):
    assert one_form(identity) is identity


def test_files_without_a_common_id_are_refused_with_examples_of_both():
    message = r"instances: none of its ids of images \(2\) is one of the data \(3\), e.g. 'a' here, 1 there"
    with pytest.raises(DataError, match=message):
        check_join(["a", "b"], [1, 2, 3], location="instances", kind="images")


@pytest.mark.parametrize(("shared", "warns"), [(4, True), (5, False), (10, False)])
def test_files_with_few_common_ids_warn_with_counts(caplog, shared, warns):
    with caplog.at_level(logging.WARNING):
        check_join(range(10), range(10 - shared, 99), location="regions", kind="texts")
    assert ("regions: only 4 of its ids of texts (10) are among those of the data (93)" in caplog.text) == warns


def test_a_small_part_of_a_large_file_is_no_reason_to_warn(caplog):
    check_join(range(1000), range(5), location="instances", kind="images")
    check_join([], range(5), location="instances", kind="images")
    assert not caplog.records


def test_what_is_no_id_is_compared_by_its_text():
    assert one_form([1]) == one_form([1]) != one_form({"a": 1})
    assert len({one_form([1]), one_form({}), one_form(None)}) == 3
