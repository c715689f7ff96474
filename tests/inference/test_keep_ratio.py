"""What a model reads at another keep ratio than the one that it was trained with."""

import numpy as np
import pytest
from PIL import Image

from bus_toolkit.errors import ComponentError, ConfigError
from tests.inference.toy import SIDE, TEXTS


def test_patches_are_read_at_the_ratio_that_is_asked_for_and_then_at_the_old_one(inferencer, pictures):
    (before,) = inferencer.read_patches(pictures[0], TEXTS[0])
    with inferencer.at_keep_ratio(1.0):
        (all_of_them,) = inferencer.read_patches(pictures[0], TEXTS[0])
    with pytest.raises(ComponentError, match="num_queries"), inferencer.at_keep_ratio(0.1):
        inferencer.read_patches(pictures[0], TEXTS[0])
    (after,) = inferencer.read_patches(pictures[0], TEXTS[0])
    assert np.all(all_of_them["kept"]) and not np.all(before["kept"])
    for entry in (before, after):
        entry["picture"] = entry["picture"].tolist()
    assert before == after


def test_each_stage_says_what_it_kept(inferencer, pictures):
    (entry,) = inferencer.read_patches(pictures[0], TEXTS[0])
    first, second = entry["selectors"]
    # 8 of 16 patches, then 4 of them, one of which may be the token of the others.
    assert np.sum(first["kept"]) == 8 and np.sum(second["kept"]) in (3, 4)
    assert second["kept"] == entry["kept"] and not np.any(np.array(second["kept"]) & ~np.array(first["kept"]))


def test_the_image_is_the_one_that_the_model_saw(inferencer, pictures):
    (entry,) = inferencer.read_patches(pictures[0])
    resized = np.asarray(Image.open(pictures[0]).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    assert entry["picture"].dtype == np.uint8 and np.array_equal(entry["picture"], resized)


@pytest.mark.parametrize("ratio", [0, 1.01, float("nan"), "0.5", True])
def test_what_is_no_share_is_refused(inferencer, ratio):
    with (
        pytest.raises(ConfigError, match=r"at_keep_ratio: must be a share in \(0, 1\], got"),
        inferencer.at_keep_ratio(ratio),
    ):
        pass
