import pytest
import torch
from torch.utils.data import DataLoader

from bus_toolkit.data.datasets.bad_samples import TooManyBadSamples
from bus_toolkit.data.datasets.base import SampleDataset
from bus_toolkit.data.samplers.region_batch_sampler import RegionRow


class Words(SampleDataset):
    """Captions without pictures; reading ``broken`` fails as mmcv fails."""

    def __init__(self, texts, max_bad_samples=10):
        super().__init__([self.load], size=len(texts), max_bad_samples=max_bad_samples)
        self.texts = texts

    def get_data_info(self, index):
        return {"img_path": f"{index}.png", "text": self.texts[index], "index": index}

    @staticmethod
    def load(sample):
        if sample["text"] == "missing":
            raise FileNotFoundError(2, "No such file", sample["img_path"])
        return None if sample["text"] == "unusable" else {**sample, "read": True}


def test_gives_samples_through_the_pipeline():
    sample = Words(["a", "b"])[1]
    assert sample["text"] == "b" and sample["read"] and "region_only" not in sample


def test_flags_rows_of_a_region_batch_sampler():
    assert Words(["a"])[RegionRow(0)]["region_only"] is True


@pytest.mark.parametrize("bad", ["", "  ", None, 3, "missing", "unusable"])
def test_another_sample_takes_the_place_of_a_bad_one(bad, caplog):
    data = Words([bad, "good", "good"])
    assert data[0]["text"] == "good"
    assert data.bad.count == 1 and "0.png" in caplog.text


def test_stops_above_the_limit_and_names_the_last_ones():
    data = Words(["missing", "good", "", "good"], max_bad_samples=1)
    with pytest.raises(TooManyBadSamples, match="2 bad samples, the limit is 1; .*Repair or remove them"):
        [data[i] for i in (0, 0, 2)]


def test_a_bad_file_is_named_once_however_many_captions_it_has():
    data = Words(["missing", "missing", "good"], max_bad_samples=1)
    data.get_data_info = lambda index: {"img_path": "a.png", "text": data.texts[index]}

    def read(sample):
        raise AssertionError("failed to load image: a.png")

    data.pipeline = [read]
    with pytest.raises(TooManyBadSamples, match="the last ones: a.png: failed to load image: a.png. Repair"):
        data[0]


def test_stops_when_no_good_sample_is_left():
    with pytest.raises(TooManyBadSamples, match="every sample is bad"):
        Words(["", ""])[0]


def test_defects_in_a_transform_are_not_taken_for_bad_data():
    data = Words(["a"])
    data.pipeline.append(lambda sample: sample["nothing"])
    with pytest.raises(KeyError):
        data[0]


def test_a_worker_reports_only_the_message():
    loader = DataLoader(Words(["", ""], max_bad_samples=0), num_workers=1, collate_fn=list)
    with pytest.raises(TooManyBadSamples) as error:
        list(loader)
    assert str(error.value).startswith("Words: 1 bad samples, the limit is 0") and "\n" not in str(error.value)
    assert torch.utils.data.get_worker_info() is None
