"""A data set of tables gives the samples of the same data set of files, to the last bit."""

import pickle

import numpy as np
import pytest

from bus_toolkit.data.datasets.bad_samples import BadSample
from bus_toolkit.data.datasets.region_captions import RegionCaptionDataset
from bus_toolkit.data.tables import json_stream
from tests.data.tables.coco_miniature import reader, write_coco

KEYS = ("text", "ori_id", "text_id", "image_id", "image_ori_id", "img_path", "is_matched", "sample_idx")


def sample_of(read, row):
    np.random.seed(row)
    try:
        info = read(row)
    except BadSample as error:
        return str(error)
    boxes = {name: info[name].tolist() for name in ("gt_bboxes", "named") if name in info}
    kinds = {name: info[name].dtype for name in boxes}
    return {name: info[name] for name in KEYS}, boxes, kinds, info.get("stated_size")


def samples_of(data):
    rows = range(len(data))
    return [sample_of(data.get_data_info, row) for row in rows], [sample_of(data.get_region_info, row) for row in rows]


@pytest.mark.parametrize("fraction", [1.0, 0.5, 0.0])
@pytest.mark.parametrize("described", ["", "regions", "classes"])
def test_samples_are_those_of_the_files(fraction, described, monkeypatch, tmp_path):
    monkeypatch.setattr(json_stream, "_PIECE", 300)
    files = write_coco(tmp_path, seed=3)
    if described != "regions":
        files.pop("descriptions_file")
    if described == "classes":
        files |= {"descriptions_file": files["instances_file"], "class_template": "One {name}."}
    options = {**files, "box_fraction": fraction, "box_seed": 1}
    plain = RegionCaptionDataset(reader(tmp_path), **options)
    data = RegionCaptionDataset(reader(tmp_path), **options, table_dir=str(tmp_path / "tables"))
    assert len(data) == len(plain) == 40
    expected = samples_of(plain)
    assert samples_of(data) == expected
    assert data.boxed_indices.tolist() == plain.boxed_indices
    assert (len(data.boxed_indices) > 0) == (fraction > 0)
    copy = pickle.loads(pickle.dumps(data))
    assert samples_of(copy) == expected and copy.boxed_indices.tolist() == plain.boxed_indices


def test_captions_alone_need_no_other_file(tmp_path):
    write_coco(tmp_path)
    plain = RegionCaptionDataset(reader(tmp_path))
    data = RegionCaptionDataset(reader(tmp_path), table_dir=str(tmp_path))
    assert samples_of(data) == samples_of(plain) and len(data.boxed_indices) == 0


def test_a_pickled_copy_has_no_columns(tmp_path):
    """So that a worker that is spawned maps the table, and does not get it through a pipe."""
    files = write_coco(tmp_path, captions=5000)
    data = RegionCaptionDataset(reader(tmp_path), **files, table_dir=str(tmp_path))
    assert len(data.boxed_indices) > 1000
    data.bad = None  # the flags of bad samples are shared memory
    assert len(pickle.dumps(data)) < 8_000
