import json

import cv2
import numpy as np
import pytest

from bus_toolkit.caption_scores.cider_d import cider_d
from bus_toolkit.data import CaptionedImages
from bus_toolkit.errors import DataError
from bus_toolkit.evaluation import CaptionMetrics

PIPELINE = [{"type": "mmpretrain.LoadImageFromFile"}, {"type": "bus_toolkit.PackRegions"}]
CAPTIONS = [(1, "a dog"), (0, "a cat"), (1, "one dog"), (0, "it sleeps"), (0, "grey fur")]


@pytest.fixture
def config(tmp_path):
    """Two images with three and two captions, in mixed order."""
    (tmp_path / "images").mkdir()
    images = [{"id": 10 + number, "coco_url": f"http://images.org/images/{number}.png"} for number in (0, 1)]
    for number in (0, 1):
        cv2.imwrite(str(tmp_path / "images" / f"{number}.png"), np.full((16, 16, 3), 100 + number, np.uint8))
    captions = [{"id": k, "image_id": 10 + number, "caption": text} for k, (number, text) in enumerate(CAPTIONS)]
    (tmp_path / "captions.json").write_text(json.dumps({"images": images, "annotations": captions}))
    reader = {"type": "mmpretrain.COCORetrieval", "data_root": str(tmp_path), "ann_file": "captions.json"}
    return {"type": "bus_toolkit.RegionCaptionDataset", "dataset": reader, "pipeline": PIPELINE}


@pytest.mark.slow
def test_each_image_comes_once_with_all_its_captions(config):
    data = CaptionedImages(config)
    assert len(data) == 2 and data.metainfo == {"dataset": "RegionCaptionDataset"}
    samples = [data[number]["data_samples"] for number in (0, 1)]
    assert [(s.image_id, s.text, s.references) for s in samples] == [
        (1, "a dog", ["a dog", "one dog"]),
        (0, "a cat", ["a cat", "it sleeps", "grey fur"]),
    ]
    assert [int(data[number]["inputs"][0, 0, 0]) for number in (0, 1)] == [101, 100]


def test_an_image_that_replaces_an_unreadable_one_has_its_own_captions(config, tmp_path):
    (tmp_path / "images" / "1.png").write_bytes(b"")
    data = CaptionedImages(config)
    sample = data[0]["data_samples"]
    assert sample.image_id == 0 and sample.references == ["a cat", "it sleeps", "grey fur"]


def nocaps(tmp_path, domains=("in-domain", "near-domain", "out-domain", "out-domain")):
    """Write NoCaps' form: an address, a domain and an id for each image, captions under the same ids."""
    (tmp_path / "val").mkdir()
    images = []
    for number, domain in enumerate(domains):
        cv2.imwrite(str(tmp_path / "val" / f"00{number}.jpg"), np.full((16, 16, 3), 100 + number, np.uint8))
        url = f"https://s3.amazonaws.com/nocaps/val/00{number}.jpg"
        images.append(
            {"id": 50 - number, "coco_url": url, "file_name": f"00{number}.jpg", "open_images_id": f"00{number}"}
        )
        images[-1] |= {} if domain is None else {"domain": domain}
    notes = [
        {"image_id": 50 - number, "id": 10 * number + k, "caption": f"animal {number} runs {k}"}
        for number in range(len(domains))
        for k in range(2)
    ]
    path = tmp_path / "nocaps_val_4500_captions.json"
    path.write_text(json.dumps({"licenses": [], "info": {}, "images": images, "annotations": notes}))
    reader = {"type": "mmpretrain.COCORetrieval", "data_root": str(tmp_path), "ann_file": path.name}
    config = {"type": "bus_toolkit.RegionCaptionDataset", "dataset": reader, "pipeline": PIPELINE}
    return {"dataset": config, "domains_file": str(path)}


def test_nocaps_is_read_as_it_is_published_and_scored_by_domain(tmp_path):
    data = CaptionedImages(**nocaps(tmp_path))
    samples = [data[number]["data_samples"] for number in range(4)]
    assert [sample.domain for sample in samples] == ["in-domain", "near-domain", "out-domain", "out-domain"]
    metric = CaptionMetrics()
    for number, sample in enumerate(samples):
        said = sample.text if number != 2 else "nothing known"
        metric.process(None, [{**sample.to_dict(), "pred_caption": said}])
    scores = metric.evaluate(4)
    wanted = [[text.split() for text in sample.references] for sample in samples]
    said = [["nothing", "known"], samples[3].text.split()]
    assert scores["caption/out-domain_CIDEr_D"] == pytest.approx(cider_d(said, wanted[2:]).mean())
    assert scores["caption/out-domain_CIDEr_D"] > 1.0
    assert scores["caption/in-domain_CIDEr_D"] == 0.0, "of a single image it always is"
    assert [scores[f"caption/{place}-domain_num_images"] for place in ("in", "near", "out")] == [1, 1, 2]
    assert scores["caption/num_images"] == 4 and scores["caption/CIDEr_D"] > 1.0


def test_a_file_without_the_domains_is_refused(tmp_path):
    settings = nocaps(tmp_path, ("in-domain", None))
    with pytest.raises(DataError, match=r"domains_file: .* names no domains \(KeyError: 'domain'\)"):
        CaptionedImages(**settings)
    (tmp_path / "other.json").write_text('{"images": [{"id": 50, "domain": "in-domain"}]}')
    with pytest.raises(DataError, match="1 of 2 images have no domain there, the first is .*49"):
        CaptionedImages(settings["dataset"], domains_file=str(tmp_path / "other.json"))
