import json
import pickle

import cv2
import numpy as np
import pytest

from bus_toolkit.data.datasets.referring_expressions import ReferringExpressions
from bus_toolkit.data.datasets.scene_task import SceneTask
from bus_toolkit.errors import DataError

PIPELINE = [{"type": "mmpretrain.LoadImageFromFile"}, {"type": "bus_toolkit.PackRegions"}]
BOXES = {7: [2, 4, 10, 8], 8: [20, 4, 8, 8], 9: [0, 0, 32, 16]}


def write(path, content):
    path.write_text(json.dumps(content))


def reference(ref_id, image_id, ann_id, split, *sentences):
    rows = [{"sent_id": number, "sent": text} for number, text in sentences]
    return {"ref_id": ref_id, "image_id": image_id, "ann_id": ann_id, "split": split, "sentences": rows}


@pytest.fixture
def folder(tmp_path):
    """Two images of 32 x 16; instances 7 and 8 are in the first one, 9 in the second."""
    (tmp_path / "images").mkdir()
    for number in (1, 2):
        cv2.imwrite(str(tmp_path / "images" / f"{number}.png"), np.full((16, 32, 3), number, np.uint8))
    images = [{"id": number, "file_name": f"{number}.png", "width": 32, "height": 16} for number in (1, 2)]
    instances = [{"id": k, "image_id": 1 if k < 9 else 2, "bbox": box, "iscrowd": 0} for k, box in BOXES.items()]
    write(tmp_path / "instances.json", {"images": images, "annotations": instances})
    refs = [
        reference(1, 1, 7, "train", (0, "the left one"), (1, "the dog")),
        reference(2, 1, 8, "val", (2, "the cat on the right")),
        reference(3, 2, 9, "testA", (3, "all of it")),
    ]
    write(tmp_path / "refs.json", refs)
    return tmp_path


def build(folder, pipeline=PIPELINE, refs="refs.json", **options):
    files = [str(folder / name) for name in (refs, "instances.json", "images")]
    return ReferringExpressions(*files, pipeline=pipeline, **options)


def change(folder, file, edit):
    """Let ``edit`` change the content of a JSON file in place."""
    content = json.loads((folder / file).read_text())
    edit(content)
    write(folder / file, content)


def refused(folder, message, **options):
    with pytest.raises(DataError, match=message):
        build(folder, **options)


def test_a_sample_is_an_expression_whose_object_alone_is_named(folder):
    data = build(folder)
    assert len(data) == 4 and data.boxed_indices == [0, 1, 2, 3]
    samples = [data[number]["data_samples"] for number in range(4)]
    assert [(s.text, s.image_id, s.text_id) for s in samples] == [
        ("the left one", 1, 0),
        ("the dog", 1, 1),
        ("the cat on the right", 1, 2),
        ("all of it", 2, 3),
    ]
    assert samples[0].gt_boxes.tolist() == [[2, 4, 12, 12], [20, 4, 28, 12]]
    assert [s.named.tolist() for s in samples] == [[True, False], [True, False], [False, True], [True]]
    assert int(data[3]["inputs"][0, 0, 0]) == 2


def test_a_flip_moves_boxes_and_words_and_leaves_the_file_alone(folder):
    flip = {"type": "bus_toolkit.RandomFlipWithText", "prob": 1.0}
    data = build(folder, [PIPELINE[0], flip, PIPELINE[1]])
    for _ in range(2):
        sample = data[0]["data_samples"]
        assert sample.text == "the right one"
        assert sample.gt_boxes[sample.named].tolist() == [[20, 4, 30, 12]]


def test_a_crop_keeps_the_object_whole(folder):
    crop = {"type": "bus_toolkit.RandomCropKeepNamed", "scale": [0.1, 0.2]}
    sample = build(folder, [PIPELINE[0], crop, PIPELINE[1]])[2]["data_samples"]
    assert sample.named.sum() == 1
    # The window is as small as the object allows, so the object fills the image.
    np.testing.assert_allclose(sample.gt_boxes[sample.named][0].numpy(), [0, 0, 32, 16], atol=0.1)


def test_augmentation_keeps_the_object_whole_or_is_refused(folder):
    crop = {"type": "bus_toolkit.RandomResizedCropWithBoxes", "scale": 32, "crop_ratio_range": [0.2, 0.3]}
    augment = {"type": "bus_toolkit.RandAugmentWithBoxes", "magnitude": 10, "prob": 1.0}
    for transform in (crop, augment):
        with pytest.raises(DataError, match=r"ReferringExpressions.pipeline.1: .* Add keep_named: true"):
            build(folder, [PIPELINE[0], transform, PIPELINE[1]])
    kept = [{**transform, "keep_named": True} for transform in (crop, augment)]
    data = build(folder, [PIPELINE[0], *kept, PIPELINE[1]])
    assert all(data[row]["data_samples"].named.sum() == 1 for row in range(4) for _ in range(10))


def test_splits_of_one_file_are_kept_apart(folder):
    assert [r.text for r in build(folder, splits=["val", "testA"]).references] == ["the cat on the right", "all of it"]
    refused(folder, r"refs_file: .*refs.json has no expressions of the splits dev", splits=["dev"])
    refused(folder, r"refs_file: splits must be a list, got 'testA'. Write \[testA\]", splits="testA")


def test_an_unreadable_image_is_replaced_and_counted(folder):
    (folder / "images" / "1.png").write_bytes(b"")
    data = build(folder)
    assert data[0]["data_samples"].image_id == 2 and data.bad.count >= 1


@pytest.mark.parametrize("name", ["refs(unc).p", "refs.pkl", "refs.pickle"])
def test_a_pickle_is_never_opened(folder, name):
    class Trap:
        def __reduce__(self):
            return (folder.joinpath("opened").touch, ())

    (folder / name).write_bytes(pickle.dumps(Trap()))
    refused(folder, r"refs_file: .* is a pickle, .*bus-toolkit prepare refcoco", refs=name)
    assert not (folder / "opened").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{not json", r"refs_file: .*refs.json is not JSON"),
        (b"\xff\xfe", r"refs_file: .*refs.json is not JSON"),
        (b"[]", r"refs_file: .*refs.json has no expressions\. Name another file"),
        (b'{"annotations": []}', r"refs.json does not hold references .*It needs \[\{\"ref_id\""),
        (b'[{"ref_id": 1}]', r"refs.json does not hold references \(KeyError: 'sentences'\)"),
    ],
)
def test_a_file_of_another_form_is_refused(folder, content, message):
    (folder / "refs.json").write_bytes(content)
    refused(folder, message)


def test_a_missing_file_is_named(folder):
    refused(folder, r"refs_file: .*none.json cannot be read: No such file", refs="none.json")
    (folder / "instances.json").unlink()
    refused(folder, r"instances_file: .*instances.json cannot be read: No such file")


@pytest.mark.parametrize("text", ["", "  ", None, 5])
def test_an_expression_without_words_is_refused(folder, text):
    change(folder, "refs.json", lambda refs: refs[1]["sentences"][0].update(sent=text))
    refused(folder, rf"refs.json: sent_id 2: an expression needs words, got {text!r}")


def test_a_sentence_id_that_is_there_twice_is_refused(folder):
    change(folder, "refs.json", lambda refs: refs[2]["sentences"][0].update(sent_id=1))
    refused(folder, r"refs.json: sent_id 1 is there twice")


@pytest.mark.parametrize(
    ("change_of_ref", "message"),
    [
        ({"ann_id": 70}, r"sent_id 2: ann_id 70 must be an instance .* of image 1 in .*instances.json, and it is none"),
        ({"ann_id": 9}, r"sent_id 2: ann_id 9 must be an instance .* of image 1 in .*instances.json, and it is none"),
        ({"image_id": 3}, r"sent_id 2: image_id 3 is not among the images of .*instances.json"),
    ],
)
def test_a_reference_to_nothing_is_refused(folder, change_of_ref, message):
    change(folder, "refs.json", lambda refs: refs[1].update(change_of_ref))
    refused(folder, message)


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ([20, 4, 0, 8], r"must have an area, got corners \[20.0, 4.0, 20.0, 12.0\]"),
        ([40, 4, 8, 8], r"must lie in its image of 32 x 16 pixels"),
        ([20, 4, 8, 80], r"must lie in its image of 32 x 16 pixels"),
        ([-5, 4, 8, 8], r"must lie in its image of 32 x 16 pixels"),
    ],
)
def test_a_box_that_cannot_be_is_refused(folder, box, message):
    change(folder, "instances.json", lambda content: content["annotations"][1].update(bbox=box))
    refused(folder, rf"refs.json: sent_id 2: the box of ann_id 8 in .*instances.json {message}")


@pytest.mark.parametrize("box", [[float("nan"), 4, 8, 8], [20, 4, float("inf"), 8], [20, 4, -3, 8]])
def test_a_box_that_is_not_finite_or_turned_inside_out_is_refused_with_its_file(folder, box):
    change(folder, "instances.json", lambda content: content["annotations"][1].update(bbox=box))
    refused(folder, r"instances_file: .*instances.json: instance 8 of image 1: .* must be finite")


def test_a_box_may_overshoot_the_border_by_a_pixel_and_then_is_cut(folder):
    change(folder, "instances.json", lambda content: content["annotations"][1].update(bbox=[24.5, 4, 8, 8]))
    sample = build(folder)[2]["data_samples"]
    assert sample.gt_boxes[sample.named].tolist() == [[24.5, 4, 32, 12]]


def test_an_image_of_another_size_than_its_boxes_are_for_is_refused(folder):
    """The references would point somewhere else on it."""
    cv2.imwrite(str(folder / "images" / "1.png"), np.zeros((32, 64, 3), np.uint8))
    data = build(folder, [{"type": "bus_toolkit.LoadImage"}, PIPELINE[1]], max_bad_samples=0)
    assert data.get_data_info(0)["stated_size"] == (32, 16)
    with pytest.raises(DataError, match="its boxes are for 32 x 16 pixels, the upright image has 64 x 32"):
        data[0]


def test_without_sizes_of_images_the_border_is_not_checked(folder):
    change(folder, "instances.json", lambda content: [image.pop("width") for image in content["images"]])
    change(folder, "instances.json", lambda content: content["annotations"][1].update(bbox=[40, 4, 8, 8]))
    assert len(build(folder)) == 4


def test_an_instance_id_that_is_there_twice_is_refused(folder):
    change(folder, "instances.json", lambda content: content["annotations"].append({**content["annotations"][0]}))
    refused(folder, r"instances.json: instance id 7 is used twice")


def test_a_crowd_is_no_object(folder):
    change(folder, "instances.json", lambda content: content["annotations"][0].update(iscrowd=1))
    refused(folder, r"ann_id 7 must be an instance \(no crowd\) of image 1 .*, and it is none")


def test_instances_without_images_are_refused(folder):
    change(folder, "instances.json", lambda content: content.pop("images"))
    refused(folder, r"instances.json does not list its images \(KeyError: 'images'\)")


def test_an_image_id_that_is_there_twice_is_refused(folder):
    change(folder, "instances.json", lambda content: content["images"].append(content["images"][0]))
    refused(folder, r"instances.json: image id 1 is there twice")


def test_transforms_that_tear_pixels_and_boxes_apart_are_refused(folder):
    blind = {"type": "mmpretrain.RandomCrop", "crop_size": 8}
    refused(folder, r"ReferringExpressions.pipeline.1: RandomCrop moves pixels", pipeline=[PIPELINE[0], blind])


def test_scenes_are_read_as_a_users_files_are(tmp_path):
    reader = {
        "type": "bus_toolkit.ReferringExpressions",
        "refs_file": "{folder}/refs_{split}.json",
        "instances_file": "{folder}/instances_{split}.json",
        "img_dir": "{folder}/images",
        "pipeline": PIPELINE,
    }
    data = SceneTask(str(tmp_path), "val", 12, reader)
    instances = json.loads((tmp_path / "val_12" / "instances_val.json").read_text())["annotations"]
    assert len(data) >= 12 and data.boxed_indices == list(range(len(data)))
    for number in range(len(data)):
        sample = data[number]["data_samples"]
        x1, y1, x2, y2 = sample.gt_boxes[sample.named][0].tolist()
        assert sample.named.sum() == 1
        (instance,) = [
            item
            for item in instances
            if item["image_id"] == sample.image_id and np.allclose(item["bbox"], [x1, y1, x2 - x1, y2 - y1], atol=0.02)
        ]
        assert instance["attributes"]["shape"] in sample.text


def test_ids_of_the_two_files_are_compared_in_one_form(folder):
    def as_text(content):
        for reference in content:
            reference.update(image_id=str(reference["image_id"]), ann_id=str(reference["ann_id"]))

    change(folder, "refs.json", as_text)
    assert build(folder)[2]["data_samples"].named.tolist() == [False, True]
