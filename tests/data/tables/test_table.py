"""A table that is mapped again is the table of before."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from bus_toolkit.data.tables.columns import Columns
from bus_toolkit.data.tables.table import META, Form, Table
from bus_toolkit.errors import DataError

FORM = Form("numbers", 1, {"number": (np.int64, None)})


def made(folder: Path, numbers: list[int], source: int) -> Table:
    folder.mkdir(exist_ok=True)
    with Columns(folder) as columns:
        columns.numbers("number", np.int64).add(numbers)
    (folder / META).write_text(json.dumps({"version": 1, "sources": [{"size": source}]}))
    return Table(folder, FORM)


def test_a_worker_maps_the_same_columns(tmp_path: Path) -> None:
    copied = pickle.loads(pickle.dumps(made(tmp_path / "table", [1, 2], 7)))
    assert copied["number"].tolist() == [1, 2] and copied.meta["sources"] == [{"size": 7}]


def test_a_worker_of_a_run_refuses_a_table_that_was_made_again(tmp_path: Path) -> None:
    pickled = pickle.dumps(made(tmp_path / "table", [1, 2], 7))
    made(tmp_path / "table", [3, 4], 8)  # by another run, of a file that has changed
    with pytest.raises(DataError, match="table: the table was made again while this run reads it"):
        pickle.loads(pickled)


def test_a_worker_reports_a_table_that_is_gone(tmp_path: Path) -> None:
    pickled = pickle.dumps(made(tmp_path / "table", [1, 2], 7))
    (tmp_path / "table" / META).unlink()
    with pytest.raises(DataError, match="table: the table is damaged: .*No such file"):
        pickle.loads(pickled)
