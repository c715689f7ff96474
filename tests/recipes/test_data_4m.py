"""The data of 4M on miniatures: what the recipe reads through tables is what the files say."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bus_toolkit import load_config
from bus_toolkit.cli.prepare import COMMAND
from bus_toolkit.registry import DATASETS
from tests.data.preparation import miniatures

SOURCES = ("coco", "visual_genome", "coco_objects", "visual_genome_regions")


@pytest.fixture(scope="module", autouse=True)
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("4m")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in ("coco", "visual_genome"):
            source = getattr(miniatures, name)(folder / "raw" / name)
            with contextlib.redirect_stdout(None):
                COMMAND.main([name, str(source), "--out", f"data/{name}", "--any-count"])
        yield


@pytest.mark.parametrize("source", SOURCES)
def test_tables_hold_what_the_files_say(source: str) -> None:
    node = load_config("copa/copa_base_4m").train_dataloader.dataset.sources[source].dataset.to_dict()
    node["pipeline"] = []
    assert node["table_dir"] == "data/tables"
    tables = DATASETS.build(node)
    files = DATASETS.build(node | {"table_dir": None})
    assert Path("data/tables").is_dir() and len(tables) == len(files) > 0
    np.testing.assert_array_equal(tables.boxed_indices, files.boxed_indices)
    for row in range(len(files)):
        wanted, got = files.get_data_info(row), tables.get_data_info(row)
        for key in got:
            np.testing.assert_equal(got[key], wanted[key])
        assert {"img_path", "text", "image_id"} <= got.keys() and ("named" in got) == ("named" in wanted)
