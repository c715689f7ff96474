"""Steps of shipped models on a GPU that is not there; ``python -m tests.contracts.on_gpu`` tries all of them."""

import pytest

from tests.contracts.on_gpu import problem_of


@pytest.mark.slow
@pytest.mark.parametrize("config", ["bus/bus_scenes_tiny", "bus/bus_caption_scenes_tiny"])
def test_a_shipped_model_mixes_no_devices_and_waits_for_none(config):
    assert problem_of(config) == ""
