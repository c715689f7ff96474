import json

import cv2
import numpy as np
import pytest

from bus_toolkit.data.datasets.region_captions import RegionCaptionDataset
from bus_toolkit.data.datasets.scene_dataset import SceneDataset
from bus_toolkit.data.samplers.region_batch_sampler import RegionRow
from bus_toolkit.errors import DataError
from bus_toolkit.registry import DATASETS

PIPELINE = [{"type": "mmpretrain.LoadImageFromFile"}, {"type": "bus_toolkit.PackRegions"}]


@pytest.fixture
def folder(tmp_path):
    """Four images with two captions each; the captions of image 40 name nothing."""
    (tmp_path / "images").mkdir()
    images, captions, instances = [], [], []
    for number, image in enumerate((10, 20, 30, 40)):
        cv2.imwrite(str(tmp_path / "images" / f"{image}.png"), np.full((16, 16, 3), image, np.uint8))
        images.append({"id": image, "coco_url": f"http://images.org/images/{image}.png"})
        instances += [{"id": 2 * number + k, "image_id": image, "bbox": [4 * k, 2, 4, 8]} for k in (0, 1)]
        captions += [{"id": 100 + 2 * number + k, "image_id": image, "caption": f"object {k}"} for k in (0, 1)]
    regions = {str(100 + i): [i] for i in range(6)}
    write(tmp_path / "captions.json", {"images": images, "annotations": captions})
    write(tmp_path / "instances.json", {"annotations": instances})
    write(tmp_path / "regions.json", regions)
    return tmp_path


def write(path, content):
    path.write_text(json.dumps(content))


def describe(folder, *entries):
    """Write Visual Genome's form: each entry is an image id and phrases with their boxes."""
    keys = ("x", "y", "width", "height")
    content = [
        {"id": image, "regions": [{"phrase": text, **dict(zip(keys, box, strict=True))} for text, box in regions]}
        for image, regions in entries
    ]
    write(folder / "descriptions.json", content)
    return {"descriptions_file": str(folder / "descriptions.json")}


def build(folder, pipeline=PIPELINE, **options):
    reader = {"type": "mmpretrain.COCORetrieval", "data_root": str(folder), "ann_file": "captions.json"}
    files = {"instances_file": str(folder / "instances.json"), "regions_file": str(folder / "regions.json")}
    return RegionCaptionDataset(reader, pipeline, **{**files, **options})


def test_attaches_all_boxes_and_which_of_them_the_caption_names(folder):
    data = build(folder)
    sample = data[3]["data_samples"]
    assert len(data) == 8 and sample.text == "object 1" and (sample.image_id, sample.text_id) == (1, 3)
    assert sample.gt_boxes.tolist() == [[0, 2, 4, 10], [4, 2, 8, 10]]
    assert sample.named.tolist() == [False, True]


def test_captions_without_a_region_entry_have_no_boxes(folder):
    data = build(folder)
    assert data.boxed_indices == [0, 1, 2, 3, 4, 5]
    assert "gt_boxes" not in data[7]["data_samples"]


def test_works_without_boxes(folder):
    data = build(folder, instances_file=None, regions_file=None)
    assert data.boxed_indices == [] and "named" not in data[0]["data_samples"]


def test_a_share_of_the_images_keeps_its_boxes(folder):
    images = [{"id": i, "coco_url": f"x/images/{i}.png"} for i in range(2000)]
    captions = [{"id": 2 * i + k, "image_id": i, "caption": "a"} for i in range(2000) for k in (0, 1)]
    write(folder / "captions.json", {"images": images, "annotations": captions})
    boxes = [{"id": i, "image_id": i, "bbox": [0, 0, 1, 1]} for i in range(2000)]
    write(folder / "instances.json", {"annotations": boxes})
    write(folder / "regions.json", {str(c["id"]): [c["image_id"]] for c in captions})
    small = build(folder, box_fraction=0.05)
    boxed = {i // 2 for i in small.boxed_indices}
    assert len(small.boxed_indices) == 2 * len(boxed), "both captions of an image, or none"
    assert 70 <= len(boxed) <= 130
    assert build(folder, box_fraction=0.05).boxed_indices == small.boxed_indices
    assert set(small.boxed_indices) < set(build(folder, box_fraction=0.5).boxed_indices)
    assert set(build(folder, box_fraction=0.05, box_seed=1).boxed_indices) != set(small.boxed_indices)
    assert build(folder, box_fraction=0.0).boxed_indices == []


def test_skips_an_unreadable_image(folder):
    (folder / "images" / "10.png").write_bytes(b"not an image")
    (folder / "images" / "20.png").unlink()
    data = build(folder)
    assert data[0]["data_samples"].image_id != 0
    assert data[2]["data_samples"].image_id != 1
    assert data.bad.count >= 2


def test_a_region_row_shows_a_description_and_its_boxes(folder):
    file = describe(folder, (10, [("thing", [0, 2, 4, 8]), ("thing", [4, 2, 4, 8]), (" ", [0, 0, 1, 1])]), (40, []))
    data = build(folder, **file)
    assert data.boxed_indices == [0, 1], "the captions of the one image that has descriptions"
    sample = data[RegionRow(0)]["data_samples"]
    assert sample.text == "thing" and sample.region_only
    assert sample.gt_boxes[sample.named].tolist() == [[0, 2, 4, 10], [4, 2, 8, 10]]
    assert sample.gt_boxes[~sample.named].tolist() == [[0, 2, 4, 10], [4, 2, 8, 10]], "all objects of the image"
    assert data[0]["data_samples"].text == "object 0"
    assert data[RegionRow(2)]["data_samples"].text == "object 0", "without a description the caption stays"


def test_descriptions_need_no_instances(folder):
    file = describe(folder, (20, [("left", [0, 0, 8, 16]), ("right", [8, 0, 8, 16])]))
    data = build(folder, instances_file=None, regions_file=None, **file)
    samples = [data[RegionRow(2)]["data_samples"] for _ in range(20)]
    assert {sample.text for sample in samples} == {"left", "right"}
    for sample in samples:
        assert sample.gt_boxes[sample.named].tolist() == [[0, 0, 8, 16] if sample.text == "left" else [8, 0, 16, 16]]
    assert "gt_boxes" not in data[2]["data_samples"]
    assert build(folder, instances_file=None, regions_file=None, box_fraction=0.0, **file).boxed_indices == []


def name_classes(folder):
    """Give the objects of the instances file two classes, in turn; those of image 30 none."""
    content = json.loads((folder / "instances.json").read_text())
    objects = [item for item in content["annotations"] if item["image_id"] != 30]
    named = [{**item, "category_id": 1 + item["id"] % 2} for item in objects]
    categories = [{"id": 1, "name": "left hand"}, {"id": 2, "name": "ear"}]
    write(folder / "classes.json", {"images": [], "annotations": named, "categories": categories})
    return {"descriptions_file": str(folder / "classes.json")}


def test_a_region_row_names_a_class_and_all_objects_of_it(folder):
    data = build(folder, **name_classes(folder))
    assert data.boxed_indices == [0, 1, 2, 3, 6, 7], "an image without objects gives no rows"
    samples = [data[RegionRow(0)]["data_samples"] for _ in range(20)]
    assert {sample.text for sample in samples} == {"This is a left hand.", "This is a ear."}
    for sample in samples:
        left = sample.text == "This is a left hand."
        assert sample.gt_boxes[sample.named].tolist() == [[0, 2, 4, 10] if left else [4, 2, 8, 10]]
    other = build(folder, **name_classes(folder), class_template="a photo of the {name}")
    assert other[RegionRow(0)]["data_samples"].text in ("a photo of the left hand", "a photo of the ear")


def test_the_instances_of_generated_scenes_name_their_classes(tmp_path):
    scenes = SceneDataset(str(tmp_path), "test", 6)
    reader = {"type": "mmpretrain.COCORetrieval", "ann_file": "captions_test.json"}
    path = next(tmp_path.rglob("instances_test.json"))
    reader["data_root"] = str(path.parent)
    data = RegionCaptionDataset(reader, PIPELINE, descriptions_file=str(path))
    assert data.boxed_indices == list(range(len(scenes)))
    content = json.loads(path.read_text())
    shapes = {item["id"]: item["name"] for item in content["categories"]}
    images = [item["id"] for item in content["images"]]
    for row in data.boxed_indices:
        sample = data[RegionRow(row)]["data_samples"]
        objects = [item for item in content["annotations"] if item["image_id"] == images[sample.image_id]]
        fitting = [f"This is a {shapes[item['category_id']]}." == sample.text for item in objects]
        assert sample.named.sum() == sum(fitting) > 0
        assert len(sample.named) == len(objects) + sum(fitting), "all objects of the image come after the named ones"


def test_a_template_without_instances_to_name_is_refused(folder):
    with pytest.raises(DataError, match="class_template: has an effect only with COCO instances.*'a {name}' and no fi"):
        build(folder, class_template="a {name}")
    with pytest.raises(DataError, match="descriptions.json holds none. Leave class_template out"):
        build(folder, **describe(folder), class_template="a {name}")
    with pytest.raises(DataError, match=r"descriptions_file: .*classes.json: class_template must have \{name\}"):
        build(folder, **name_classes(folder), class_template="")


def test_is_built_from_a_config_by_its_name(folder):
    reader = {"type": "mmpretrain.COCORetrieval", "data_root": str(folder), "ann_file": "captions.json"}
    data = DATASETS.build({"type": "bus_toolkit.RegionCaptionDataset", "dataset": reader, "pipeline": PIPELINE})
    assert data[0]["inputs"].shape == (3, 16, 16)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"box_fraction": 1.5}, r"box_fraction: must be in \[0, 1\], got 1.5"),
        ({"regions_file": None}, "belong together, got only one"),
        ({"instances_file": "/nowhere.json"}, "Dataset.instances_file: /nowhere.json cannot be read: No such file"),
        ({"pipeline": [{"type": "mmpretrain.RandomFlip"}]}, "pipeline.0: RandomFlip moves pixels but not both"),
    ],
)
def test_says_what_is_wrong_with_its_arguments(folder, options, message):
    with pytest.raises(DataError, match=message):
        build(folder, **options)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("captions.json", None, "dataset: cannot read .*captions.json: No such file.*Set data_root and ann_file"),
        ("captions.json", "{", "is not of the kind that mmpretrain.COCORetrieval reads.*Check ann_file"),
        ("captions.json", '\ufeff{"images": [], "annotations": []}', "captions.json: it begins with a byte order mark"),
        (
            "captions.json",
            '{"images": [{"id": 7, "coco_url": "a/b.png"}], "annotations": [{"id": 1, "image_id": "7", "caption": 1}]}',
            r"1 captions are of an image_id that no image has, the first is '7'; images\[0\] has 7\. Write ids",
        ),
        ("captions.json", '{"images": [], "annotations": []}', "or has no captions"),
        ("captions.json", '{"images": [{"id": 1}], "annotations": []}', "KeyError"),
        ("instances.json", "{}", "instances_file: .*does not hold COCO instances"),
        ("regions.json", "[", "regions_file: .*regions.json is not JSON"),
        ("regions.json", "[]", "regions_file: .*regions.json does not hold regions"),
        (
            "regions.json",
            '{"a": [1]}',
            r"none of its ids of texts \(1\) is one of the data \(8\), e.g. 'a' here, 1\d\d there",
        ),
        (
            "regions.json",
            '{"100": ["a"]}',
            "does not hold regions .*must be a whole number from -2.63 below 2.63, got 'a'",
        ),
        ("regions.json", '{"100": [9223372036854775808]}', "does not hold regions .*got 9223372036854775808"),
        ("descriptions.json", '{"10": []}', "descriptions_file: .*does not hold region descriptions.*As Visual Genome"),
        ("descriptions.json", '[{"id": 10, "regions": [{"phrase": "a"}]}]', r"descriptions \(KeyError: 'x'\)"),
        ("descriptions.json", '{"annotations": []}', "descriptions.json: categories must be a list, got none"),
    ],
)
def test_says_what_is_wrong_with_its_files(folder, name, content, message):
    path = folder / name
    describe(folder)
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(DataError, match=message):
        build(folder, descriptions_file=str(folder / "descriptions.json"))


@pytest.mark.parametrize("as_text", [str, float])
def test_ids_of_files_are_compared_in_one_form(folder, as_text):
    annotations = json.loads((folder / "instances.json").read_text())["annotations"]
    rewritten = [{**one, "id": as_text(one["id"]), "image_id": as_text(one["image_id"])} for one in annotations]
    write(folder / "instances.json", {"annotations": rewritten})
    data = build(folder)
    assert data.boxed_indices == [0, 1, 2, 3, 4, 5] and data[3]["data_samples"].named.tolist() == [False, True]


def test_boxes_of_another_split_are_refused(folder):
    other = [{"id": 1, "image_id": 77, "bbox": [0, 0, 4, 4]}]
    write(folder / "instances.json", {"annotations": other})
    message = r"instances_file: .*none of its ids of images \(1\) is one of the data \(4\), e.g. 77 here, \d\d there"
    with pytest.raises(DataError, match=message):
        build(folder)
    settings = describe(folder, (77, [("a dog", (0, 0, 4, 4))]))
    with pytest.raises(DataError, match="descriptions_file: .*none of its ids of images"):
        build(folder, instances_file=None, regions_file=None, **settings)
