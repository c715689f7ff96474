"""Made-up images and words fit each model that can be measured."""

from __future__ import annotations

import pytest
import torch

from bus_toolkit.errors import ConfigError
from bus_toolkit.huggingface.image_grids import visual_ids
from bus_toolkit.vlm_benchmark.made_up_inputs import image_frame, made_up_inputs, smaller_size
from tests.huggingface.tiny import build

ANY_SIZE = ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"]
ONE_SIZE = ["llava", "paligemma", "internvl", "idefics3", "smolvlm"]


@pytest.mark.parametrize("family", [*ANY_SIZE, *ONE_SIZE])
def test_each_model_takes_a_batch_of_them(family: str) -> None:
    model = build(family).model
    frame = image_frame(model)
    size = frame.only or (2 * frame.token_side, 3 * frame.token_side)
    rows, columns = frame.grid(size)
    made = made_up_inputs(model, size, prompt_length=9, batch_size=2)
    assert made["input_ids"].shape == (2, rows * columns + 9)
    assert (made["input_ids"] == visual_ids(model.config)[0]).sum(dim=1).tolist() == [rows * columns] * 2
    with torch.no_grad():  # the model itself compares places and features
        assert model(**made).logits.shape[:2] == made["input_ids"].shape


def test_a_question_comes_after_the_image() -> None:
    ids = made_up_inputs(build("llava").model, (32, 32), prompt_length=6, batch_size=1)["input_ids"][0]
    assert (ids == 100).tolist() == [False] * 3 + [True] * 16 + [False] * 3


@pytest.mark.parametrize(
    ("size", "num_tokens", "expected"),
    [
        ((280, 560), 50, (140, 280)),  # 10 x 20 tokens; half of each side is 5 x 10
        ((280, 560), 200, (280, 560)),
        ((280, 560), 1, (28, 56)),
        ((196, 196), 24, (140, 140)),  # 7 x 7; 5 x 5 has one more, 4 x 6 would have another shape
        ((196, 196), 20, (112, 140)),
    ],
)
def test_a_smaller_image_has_as_many_tokens_and_the_shape(
    size: tuple[int, int], num_tokens: int, expected: tuple[int, int]
) -> None:
    assert smaller_size(build("qwen2_5_vl").model, size, num_tokens) == expected


def test_models_of_one_size_have_no_smaller_image() -> None:
    assert smaller_size(build("llava").model, (32, 32), 4) is None


def test_a_size_of_its_own_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"must be \[32, 32\] for this LLaVA, got \[32, 64\]"):
        made_up_inputs(build("llava").model, (32, 64), 8, 1)
    with pytest.raises(ConfigError, match=r"multiples of 28 for this Qwen2.5-VL, got \[28, 30\]"):
        made_up_inputs(build("qwen2_5_vl").model, (28, 30), 8, 1)


def test_images_that_a_processor_cuts_into_views_are_refused() -> None:
    with pytest.raises(ConfigError, match="images of LLaVA-NeXT cannot be made up"):
        image_frame(build("llava_next").model)
