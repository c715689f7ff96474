"""Rows that no head reads are refused when a config is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from bus_toolkit import load_config
from bus_toolkit.config.image_size import final_sizes
from bus_toolkit.errors import ConfigError
from tests.test_registry_configs import CONFIGS, name

REGIONS = "train_dataloader.batch_sampler.region_batch_size"


def test_region_rows_without_a_patch_text_head_are_refused() -> None:
    match = (
        rf"{REGIONS}: appends 8 rows .* and no head reads them; model.heads has itc, itm, mlm.*\. Set it to 0, or add"
    )
    with pytest.raises(ConfigError, match=match):
        load_config("copa/copa_scenes_tiny", {"model.heads.ptm": None})
    assert load_config("copa/copa_scenes_tiny", {"model.heads.ptm": None, REGIONS: 0})


def test_a_source_for_a_head_that_there_is_not_is_refused() -> None:
    match = r"sources.boxes.objectives: no head is named 'ptn'. Did you mean 'ptm'\? model.heads has"
    with pytest.raises(ConfigError, match=match):
        load_config("bus/bus_multitask_scenes_tiny", ["train_dataloader.dataset.sources.boxes.objectives=[ptn]"])


@pytest.mark.parametrize("path", [path for path in CONFIGS if "_base" in path.stem], ids=name)
def test_the_images_of_every_pipeline_have_the_size_of_the_model(path: Path) -> None:
    """A run refuses another size; here the recipes, which no test runs at paper scale, are looked at."""
    config = load_config(path)
    sizes = list(final_sizes(config))
    if "backbone" in config.model:
        wanted = config.model.backbone.img_size
        assert {size for _, size in sizes} == {(wanted, wanted)}
        assert {where.split(".")[0] for where, _ in sizes} == {
            key for key in config if key.endswith("_dataloader") and config[key] is not None
        }
