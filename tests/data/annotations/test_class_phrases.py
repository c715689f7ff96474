import pytest

from bus_toolkit.data.annotations.class_phrases import CLASS_TEMPLATE, describe_instances, holds_instances
from bus_toolkit.errors import DataError

CATEGORIES = [{"id": 1, "name": "dog"}, {"id": 17, "name": "airplane"}]


def instance(image=5, kind=1, bbox=(1, 2, 3, 4), **more):
    return {"image_id": image, "category_id": kind, "bbox": list(bbox), **more}


def describe(*annotations, categories=CATEGORIES, template=CLASS_TEMPLATE):
    content = {"images": [], "annotations": list(annotations), "categories": categories}
    return describe_instances(content, template, "where: a.json")


def test_a_class_is_one_phrase_with_all_its_boxes():
    phrases = describe(instance(), instance(bbox=(0.5, 0, 2, 2.5)), instance(kind=17), instance(image=6))
    assert phrases == {
        5: {"This is a dog.": [[1, 2, 4, 6], [0.5, 0, 2.5, 2.5]], "This is a airplane.": [[1, 2, 4, 6]]},
        6: {"This is a dog.": [[1, 2, 4, 6]]},
    }


def test_categories_of_one_name_are_one_phrase():
    phrases = describe(instance(), instance(kind=2), categories=[*CATEGORIES, {"id": 2, "name": " dog "}])
    assert phrases == {5: {"This is a dog.": [[1, 2, 4, 6]] * 2}}


def test_the_template_may_be_another_and_hold_other_braces():
    assert list(describe(instance(), template="{a} photo of the {name}")[5]) == ["{a} photo of the dog"]


def test_crowds_and_boxes_without_area_are_left_out_and_so_are_images_with_nothing_else():
    crowd = {"image_id": 5, "category_id": 1, "iscrowd": 1}
    assert describe(crowd, instance(bbox=(1, 1, 0, 3)), instance(bbox=(1, 1, 3, 0))) == {}
    assert describe(crowd, instance(iscrowd=0)) == {5: {"This is a dog.": [[1, 2, 4, 6]]}}


def test_a_file_of_coco_is_reported_by_its_parts():
    assert holds_instances({"annotations": []}) and holds_instances({"categories": []})
    assert not holds_instances({"10": []}) and not holds_instances([]) and not holds_instances(None)


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (7, r"annotations\[1\]: must be a mapping, got 7"),
        (instance(image="a"), r"annotations\[1\].image_id: must be a whole number, got 'a'"),
        ({"category_id": 1, "bbox": [0, 0, 1, 1]}, r"annotations\[1\].image_id: must be a whole number, got None"),
        (instance(kind=2), r"annotations\[1\].category_id: must be the id of one of the 2 categories, got 2. Add"),
        (instance(kind=[1]), r"category_id: must be the id of one of the 2 categories, got \[1\]"),
        ({"image_id": 5, "category_id": 1}, r"annotations\[1\].bbox: must be four numbers.*got None. Correct it"),
        (instance(bbox=(1, 2, 3)), r"bbox: must be four numbers.*got \[1, 2, 3\]"),
        (instance(bbox=(1, 2, "3", 4)), r"bbox: must be four numbers.*got \[1, 2, '3', 4\]"),
        (instance(bbox=(1, 2, -3, 4)), r"bbox: .*the last two 0 or more, got \[1, 2, -3, 4\]"),
        (instance(bbox=(1, 2, 3, -1)), r"bbox: .*the last two 0 or more, got \[1, 2, 3, -1\]"),
        (instance(bbox=(float("nan"), 2, 3, 4)), r"bbox: must be four numbers.*got \[nan, 2, 3, 4\]"),
        (instance(bbox=(1, 2, float("inf"), 4)), r"bbox: must be four numbers.*got \[1, 2, inf, 4\]"),
    ],
)
def test_says_which_annotation_is_wrong(annotation, message):
    with pytest.raises(DataError, match=f"^where: a.json: .*{message}"):
        describe(instance(), annotation)


@pytest.mark.parametrize(
    ("category", "message"),
    [
        ("dog", r"categories\[2\]: must be a mapping, got 'dog'"),
        ({"name": "dog"}, r"categories\[2\]: needs a whole number as id and a word as name, got None and 'dog'"),
        ({"id": 3}, r"categories\[2\]: needs .*got 3 and None"),
        ({"id": 3, "name": " "}, r"categories\[2\]: needs .*got 3 and ' '"),
        ({"id": 1, "name": "cat"}, r"categories\[2\].id: 1 is already that of 'dog'"),
    ],
)
def test_says_which_category_is_wrong(category, message):
    with pytest.raises(DataError, match=message):
        describe(categories=[*CATEGORIES, category])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"annotations": [{"caption": "a dog"}]}, "a.json: categories must be a list, got none.*not of captions"),
        ({"annotations": [], "categories": {}}, "categories must be a list, got dict"),
        ({"categories": []}, "annotations must be a list, got none"),
    ],
)
def test_says_which_part_is_missing(content, message):
    with pytest.raises(DataError, match=message):
        describe_instances(content, CLASS_TEMPLATE, "where: a.json")


def test_a_template_needs_a_place_for_the_name():
    with pytest.raises(DataError, match=r"class_template must have \{name\} where .* got 'a dog'. Write e.g. 'This is"):
        describe(template="a dog")
