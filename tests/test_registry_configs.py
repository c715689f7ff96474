"""Every YAML that ships loads, survives its own dump, and is in the index; tests/recipes/test_models.py builds them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from bus_toolkit import build_model, load_config
from bus_toolkit.config import dump_config
from bus_toolkit.config.image_size import kind_of
from bus_toolkit.data.scenes.families import DEFAULT_FAMILY, parse_settings
from tests.recipes.shipped import config_of, is_own

ROOT = Path(__file__).parent.parent / "registry_configs"
CONFIGS = sorted(path for path in ROOT.glob("*/*.yaml") if not path.parent.name.startswith("_"))


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def recipe_of(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


OWN = [path for path in CONFIGS if is_own(recipe_of(path))]


@pytest.mark.parametrize("path", OWN, ids=name)
def test_the_resolved_config_loads_again_to_the_same(path: Path, tmp_path: Path) -> None:
    config = config_of(recipe_of(path))
    dump_config(config, tmp_path / "resolved.yaml")
    assert load_config(tmp_path / "resolved.yaml").to_dict() == config.to_dict()


def scenes_of(node: Any) -> Iterator[tuple[tuple[str, str, int], dict[str, Any]]]:
    """Yield the folder of each data set of generated scenes below a node, and what is drawn into it."""
    if isinstance(node, Mapping):
        if kind_of(node) in ("SceneDataset", "SceneTask"):
            settings = parse_settings(node.get("family", DEFAULT_FAMILY), node.get("scenes"))
            folder = (node["data_root"], node["split"], node["num_images"])
            yield folder, {"family": type(settings).__name__, **settings.to_dict()}
        for child in node.values():
            yield from scenes_of(child)


def test_recipes_that_share_a_folder_of_scenes_draw_the_same() -> None:
    """Else each would write it again over the other's, also while that one reads it."""
    drawn: dict[tuple[str, str, int], dict[str, Any]] = {}
    for path in OWN:
        for folder, content in scenes_of(config_of(recipe_of(path)).to_dict()):
            assert drawn.setdefault(folder, content) == content, (name(path), folder)
    assert len(drawn) > 10


def test_every_file_opens_with_what_it_is_and_its_command() -> None:
    for path in CONFIGS:
        head = [line for line in path.read_text().splitlines() if line.startswith("#")]
        assert any("ommand" in line for line in head), name(path)


def test_the_paper_scale_model_has_the_known_parts() -> None:
    with torch.device("meta"):
        model = build_model(load_config(ROOT / "bus" / "bus_base_4m.yaml"))
    assert len(model.backbone.vit.layers) == 12
    assert len(model.text_encoder.bert.encoder.layer) == 6
    assert len(model.fusion.layers) == 6
    assert len(model.text_decoder.bert.bert.encoder.layer) == 12
    assert model.backbone.vit.patch_resolution == (16, 16)


@pytest.mark.parametrize("scale", ["scenes_tiny", "base_4m"])
def test_the_reference_of_prior_is_what_its_recipe_trains(scale: str) -> None:
    """Same words, same shapes, and the path under which tools/train.py leaves its last checkpoint."""
    recipe, prior = (load_config(ROOT / "prior" / f"{kind}_{scale}.yaml") for kind in ("reference", "prior"))
    head = prior.model.heads.prefix_lm
    with torch.device("meta"):
        trained, wanted = build_model(recipe).text_decoder, build_model(prior).heads["prefix_lm"].reference
    shapes = [{name: value.shape for name, value in part.state_dict().items()} for part in (trained, wanted)]
    assert shapes[0] == shapes[1]
    assert recipe.model.tokenizer == prior.model.tokenizer
    assert head.reference_weights == f"work_dirs/reference_{scale}/epoch_{recipe.train_cfg.max_epochs}.pth"


def index() -> dict[str, list[dict[str, Any]]]:
    """Return what model-index.yml imports; figures as they are written."""
    found: dict[str, list[dict[str, Any]]] = {"Collections": [], "Models": []}
    for file in yaml.safe_load((ROOT / "model-index.yml").read_text())["Import"]:
        for key, entries in yaml.load((ROOT / file).read_text(), yaml.BaseLoader).items():
            found[key] += entries
    return found


def test_the_index_lists_every_recipe_once() -> None:
    models = index()["Models"]
    assert sorted(m["Config"] for m in models) == [f"{ROOT.name}/{name(path)}" for path in CONFIGS]
    assert all(m["Name"] == Path(m["Config"]).stem for m in models)
    assert len({m["Name"] for m in models}) == len(models)


def test_every_recipe_of_the_index_has_a_collection_data_and_a_task() -> None:
    found = index()
    collections = {c["Name"] for c in found["Collections"]}
    for model in found["Models"]:
        assert model["In Collection"] in collections
        assert model["Metadata"]["Training Data"]
        assert all(result["Task"] and result["Dataset"] for result in model["Results"])
        # mim shows the metrics of all tasks on one data set in one table.
        metrics = [(result["Dataset"], metric) for result in model["Results"] for metric in result["Metrics"]]
        assert len(set(metrics)) == len(metrics)


@pytest.mark.parametrize("model", index()["Models"], ids=lambda m: m["Name"])
def test_the_figures_of_the_index_are_in_the_results(model: dict[str, Any]) -> None:
    results, recipe = (ROOT / "RESULTS.md").read_text(), (ROOT.parent / model["Config"]).read_text()
    figures = [figure for result in model["Results"] for figure in result["Metrics"].values()]
    assert not figures or "no figure" not in recipe
    for figure in figures:
        assert re.search(rf"(?<![\d.]){re.escape(figure)}(?![\d])", results), figure
