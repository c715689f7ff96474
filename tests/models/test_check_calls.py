import math

import pytest
import torch
from mmengine.structures import BaseDataElement

from bus_toolkit.errors import ConfigError, DataError
from bus_toolkit.models.check_calls import check_batch, check_progress

SAMPLE = BaseDataElement()


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (["a", "b"], "must be a list of data samples, one or more an image, got list of str. bus_toolkit.models.make_"),
        (None, "must be a list of data samples, one or more an image, got NoneType."),
        ([SAMPLE], "must be as many as the images, or the same number for each of them, 2, got 1. Give each"),
        (
            [SAMPLE] * 4,
            "2 texts an image must say by image_id whose they are, got row 0 without one. Write make_samples",
        ),
    ],
)
def test_samples_that_do_not_belong_to_the_images_are_refused(samples, message):
    with pytest.raises(DataError, match=f"^data_samples: {message}"):
        check_batch(torch.zeros(2, 3, 4, 4), samples)


def test_one_sample_an_image_is_taken():
    check_batch(torch.zeros(2, 3, 4, 4), [SAMPLE, SAMPLE])


@pytest.mark.parametrize("epoch", [-1, "1", None, math.nan])
def test_an_epoch_that_no_training_has_is_refused(epoch):
    with pytest.raises(ConfigError, match=r"^set_progress.epoch: must be a number of 0 or more"):
        check_progress(epoch, 0)


@pytest.mark.parametrize("iteration", [-1, 0.5, None])
def test_an_iteration_that_no_training_has_is_refused(iteration):
    with pytest.raises(ConfigError, match=r"^set_progress.iteration: must be a whole number of 0 or more"):
        check_progress(0.5, iteration)
