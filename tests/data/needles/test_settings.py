import pytest

from bus_toolkit.data.needles.settings import ANSWERS, NeedleSettings
from bus_toolkit.errors import ConfigError
from bus_toolkit.tokenizers.corpus import CorpusTokenizer


def test_defaults_are_filled_in_and_read_back_from_the_manifest():
    settings = NeedleSettings(layout="scattered")
    assert (settings.size_spread, NeedleSettings().size_spread, NeedleSettings().cells) == (0.3, 0.0, 6)
    assert NeedleSettings.parse(settings.to_dict()) == settings
    assert NeedleSettings(questions_per_image={"glyph": 2}).to_dict()["questions_per_image"] == {
        "attribute": 0,
        "glyph": 2,
        "control": 0,
    }


def test_scenes_without_repeated_objects_are_those_of_folders_from_before_these():
    assert "num_repeated" not in NeedleSettings().to_dict()
    assert NeedleSettings(num_objects=(9, 9), num_repeated=(2, 7)).to_dict()["num_repeated"] == [2, 7]


def test_sparse_scenes_of_other_sizes_are_settings():
    assert NeedleSettings(num_objects=[10, 14], image_size=96, object_size=11).cells == 4


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"object_size": 4}, "scenes.object_size: must be a number from 5 to 40, got 4."),
        ({"image_size": 112.5}, "scenes.image_size: must be a whole number from 32 to 1024, got 112.5."),
        ({"num_objects": [26, 33]}, r"num_objects: must be \[fewest, most\] with 1 <= fewest <= most <= 32"),
        ({"num_objects": 26}, r"num_objects: must be \[fewest, most\] .*, got 26."),
        (
            {"num_repeated": [1, 4]},
            r"num_repeated: must be \[0, 0\], or \[fewest, most\] with 2 <= fewest <= most <= 1000",
        ),
        ({"num_repeated": [2, 4]}, r"num_repeated: they need a name that no other .* got \(26, 32\). Lower its second"),
        ({"num_objects": [9, 9], "num_repeated": [9, 9], "cells": 4}, "cannot hold 18 objects. .* lower num_repeated."),
        ({"layout": "grid"}, "layout: must be lattice or scattered, got 'grid'."),
        ({"cells": 5}, "cells: 5 x 5 cells cannot hold 32 objects. Raise cells, or lower num_objects."),
        ({"object_size": 18}, "cells: 6 a side of 112 px are 18.7 px each, and an object with its gap takes 19.0."),
        (
            {"layout": "scattered", "object_size": 12},
            "num_objects: 32 objects of up to 15.6 px fill more than 40% of 112 x 112 px. Raise image_size",
        ),
        ({"questions_per_image": {"colour": 1}}, "questions_per_image: needs a number for some of attribute, glyph"),
        ({"questions_per_image": {"glyph": 0}}, "questions_per_image: needs a number for some of"),
        ({"questions_per_image": {"glyph": 1.5}}, "questions_per_image: numbers must be whole and 0 or more"),
        ({"questions_per_image": {"control": 2}}, "questions_per_image.control: there is one such question, got 2."),
        ({"questions_per_image": {"glyph": 27}}, "questions_per_image.glyph: each is of another object, of which a sc"),
        ({"ink": "contrast"}, "with ink: contrast the name of an object gives the colour of its mark, got 4. Set it"),
        ({"image_format": "webp"}, "image_format: must be png or jpg, got 'webp'."),
    ],
)
def test_refuses_what_cannot_be_drawn(values, message):
    with pytest.raises(ConfigError, match=message):
        NeedleSettings(**values)


def test_reports_all_problems_at_once_and_the_nearest_name():
    with pytest.raises(ConfigError) as error:
        NeedleSettings(noise=-1, clutter=99, jitter=True)
    assert len(error.value.problems) == 3
    with pytest.raises(ConfigError, match="no setting named 'object_sise'. Did you mean 'object_size'?"):
        NeedleSettings.parse({"object_sise": 3})


def test_answers_are_distinct_and_all_words_are_in_the_shipped_vocabulary():
    assert len(set(ANSWERS)) == len(ANSWERS) == 17
    words = [word for group in NeedleSettings().words().values() for word in group]
    questions = ["what color is the mark on the red square", "which sign is on it", "what color is the background"]
    caption = "a white cross with a black times and a cyan dot on a gray background"
    tokenizer = CorpusTokenizer(vocabulary="needles")
    unknown = tokenizer.unk_token_id
    assert tokenizer([" ".join([*words, *ANSWERS, caption])]).input_ids.ne(unknown).all()
    assert (tokenizer(questions).input_ids == unknown).sum() == 1  # "it"
