"""All arms are measured in one run, the model as it is first."""

from __future__ import annotations

import torch

from bus_toolkit.vlm_benchmark.measure import measure
from bus_toolkit.vlm_benchmark.plan import Plan
from bus_toolkit.vlm_benchmark.results import Settings
from tests.huggingface.tiny import build


def test_each_arm_is_compared_with_the_model_as_it_is() -> None:
    arms = {"quarter": {"selectors": [{"type": "Random", "blocks": [1], "keep_ratio": 0.25}]}}
    plan = Plan({}, arms, ((112, 112),), 8)
    settings = Settings(new_tokens=2, rounds=1, device=torch.device("cpu"))
    measured = measure(build("qwen2_5_vl").model, plan, (112, 112), 2, settings)
    assert [one.name for one in measured] == [
        *("unpruned", "keeps all", "quarter"),
        *("Random 0.25 after layer 1", "UniformGrid 0.25 after layer 1", "image 56 x 56"),
    ]
    base, keeps_all, quarter, random, _, image = measured
    assert base.speed_up.least == base.speed_up.largest == base.promised == 1
    assert (keeps_all.promised, keeps_all.kept_mean, keeps_all.cache_bytes) == (1, 16, base.cache_bytes)
    assert quarter.cache_bytes == random.cache_bytes < base.cache_bytes
    assert (quarter.kept_mean, quarter.kept_max, image.kept_mean) == (4, 4, 4)
    assert image.macs.tower < quarter.macs.tower == base.macs.tower
    assert 1 < quarter.promised_first < image.promised_first
    assert quarter.selection_share.median > 0 == base.selection_share.median
    assert base.seconds.median > base.first_seconds.median > 0 < base.peak_bytes
    written = quarter.to_dict()
    assert written["macs"]["prefill"] == quarter.macs.prefill
    assert written["first_efficiency"] == quarter.first_speed_up.median / quarter.promised_first
