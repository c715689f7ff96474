"""Exported image sides against the models themselves, and what is refused."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from bus_toolkit import build_model
from bus_toolkit.errors import ConfigError
from bus_toolkit.export import Measuring, check_target, export_image_side
from bus_toolkit.export import files as files_module
from bus_toolkit.export.tracing import trace_image_side
from bus_toolkit.selectors import PatchSelector
from tests.inference.toy import run_config

HAS_ONNX = all(importlib.util.find_spec(name) for name in ("onnx", "onnx_ir", "onnxruntime", "onnxscript"))
needs_onnx = pytest.mark.skipif(not HAS_ONNX, reason="onnx, onnxscript or onnxruntime is not installed")
NOT_TIMED = Measuring(rounds=0)
SELECTORS = {
    "TSPS": {"type": "TSPS", "blocks": [1], "keep_ratio": 0.5},
    "EViT": {"type": "EViT", "blocks": [1], "keep_ratio": 0.5},
    "ToMe": {"type": "ToMe", "blocks": [1], "keep_ratio": 0.75},
}

PAGE = Path(__file__).parents[2] / "tools" / "EXPORT.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def model_with(selector):
    """Return a model of width 32 with two blocks, 16 patches and nothing after the backbone."""
    config = run_config(Path("unused"), itc={"type": "ITCHead", "feature_dim": 8})["model"]
    config["backbone"]["arch"]["num_layers"] = 2
    config["selectors"] = [selector]
    for part in ("decoder", "fusion", "text_decoder"):
        del config[part]
    torch.manual_seed(0)
    return build_model(config).eval().requires_grad_(False)


@pytest.mark.slow
@needs_onnx
@pytest.mark.parametrize("name", SELECTORS)
def test_an_onnx_file_gives_the_outputs_of_the_model_at_any_batch_size(name, tmp_path, monkeypatch, capsys) -> None:
    import onnxruntime

    if name != "TSPS":
        pytest.importorskip("bus_text_free", reason="the plugin bus_text_free is not installed")
    if name == "EViT":
        monkeypatch.setattr(files_module, "MOST_IN_ONE_FILE", 1000)
    model = model_with(SELECTORS[name])
    measuring = Measuring(rounds=1 if name == "TSPS" else 0, threads=1)
    found = export_image_side(model, tmp_path / "side.onnx", measuring=measuring)
    weights = ["side.onnx.data"] if name == "EViT" else []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["side.onnx", *weights, "side.onnx.json"]
    session = onnxruntime.InferenceSession(str(tmp_path / "side.onnx"))
    about = json.loads(session.get_modelmeta().custom_metadata_map["bus_toolkit"])
    beside = json.loads((tmp_path / "side.onnx.json").read_text())
    assert about.items() <= beside.items() and (weights or beside["bytes"] == (tmp_path / "side.onnx").stat().st_size)
    assert [one.name for one in session.get_inputs()] == list(about["inputs"])
    assert list(about["inputs"]) == (["images", "text_pooled"] if name == "TSPS" else ["images"])
    assert {one.shape[0] for one in [*session.get_inputs(), *session.get_outputs()]} == {"batch"}
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    texts = ["a red circle", "a blue square", "a green star above a circle", "a square"] if name == "TSPS" else None
    feeds = {"images": images.numpy()}
    if texts is not None:
        feeds["text_pooled"] = model.text_encoder(model.encoders.tokenize(texts)).pooled.numpy()
    tokens, kept = session.run(["tokens", "kept"], feeds)
    with torch.no_grad():
        wanted = model.encode(images, texts)
    torch.testing.assert_close(torch.from_numpy(tokens), wanted.embeds, atol=1e-4, rtol=0)
    assert torch.from_numpy(kept).equal(wanted.kept_patches())
    assert about["tokens"] == tokens.shape[1] and about["outputs"]["tokens"]["shape"][1:] == list(tokens.shape[1:])
    # Nothing of the machine that it was made on.
    content = (tmp_path / "side.onnx").read_bytes()
    assert b"site-packages" not in content and str(tmp_path).encode() not in content
    if name == "TSPS":
        assert found["speed"]["times_faster"] > 0
        (tmp_path / "photos").mkdir()
        Image.new("RGB", (96, 96), "gray").save(tmp_path / "photos" / "large_crimson_disc_left.png")
        (tmp_path / "side.onnx").rename(tmp_path / "image_side.onnx")
        monkeypatch.chdir(tmp_path)
        exec(EXAMPLES[0], {})  # as typed
        assert capsys.readouterr().out == f"{tokens[:1].shape} 8 of 16 patches kept\n"


@pytest.mark.slow
@needs_onnx
def test_the_same_model_gives_the_same_bytes(tmp_path) -> None:
    model = model_with(SELECTORS["TSPS"])
    for name in ("one.onnx", "two.onnx"):
        side, program = trace_image_side(model, with_text=False)
        assert side.input_names == ["images"]
        files_module.write_onnx(program, side, {}, tmp_path / name)
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "two.onnx").read_bytes()


@pytest.mark.slow
@needs_onnx
def test_of_equal_numbers_the_lower_place_comes_first_in_onnxruntime(tmp_path) -> None:
    import onnxruntime

    from bus_toolkit.export.onnx_sort import TRANSLATIONS

    class Sorts(torch.nn.Module):
        def forward(self, numbers):
            return numbers.sort(dim=1, descending=True, stable=True).indices, (numbers > 0).argsort(dim=1, stable=True)

    numbers = torch.randint(0, 3, (4, 60), generator=torch.Generator().manual_seed(0)).float()
    program = torch.onnx.export(
        Sorts(), (numbers,), dynamo=True, custom_translation_table=TRANSLATIONS, verbose=False, external_data=False
    )
    program.save(tmp_path / "sort.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "sort.onnx"))
    for got, wanted in zip(session.run(None, {"numbers": numbers.numpy()}), Sorts()(numbers), strict=True):
        assert torch.from_numpy(got).equal(wanted)


@pytest.mark.slow
# The name that the unpruned model was once written under while it was timed, and one that is a pattern.
@pytest.mark.parametrize(("name", "rounds"), [("unpruned.pt2", 1), ("side[1].pt2", 0)])
def test_a_program_of_torch_export_gives_the_outputs_of_the_model(tmp_path, name, rounds) -> None:
    model = model_with(SELECTORS["TSPS"])
    measuring = Measuring(rounds=rounds, threads=1)
    found = export_image_side(model, tmp_path / name, kind="torch-export", measuring=measuring)
    assert max(found["error"].values()) <= 1e-4 and set(found["error"]) == {"batch 1", "batch 2", "batch 5"}
    extra = {"bus_toolkit.json": ""}
    run = torch.export.load(tmp_path / name, extra_files=extra).module()
    assert json.loads(extra["bus_toolkit.json"])["selectors"] == found["selectors"]
    images, texts = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(3)), ["a red circle"]
    pooled = model.text_encoder(model.encoders.tokenize(texts * 6)).pooled
    torch.testing.assert_close(run(images, pooled)[0], model.encode(images, texts * 6).embeds, atol=1e-4, rtol=0)


class AsksForNumbers(PatchSelector):
    """Keep as many as its scores say."""

    def score(self, view):
        return view.patches.sum(dim=-1)

    def num_kept(self, view):
        return int((view.patches.sum(dim=-1) > 0).sum()) if not view.patches.is_meta else 1


class Draws(PatchSelector):
    """Draw each time."""

    def score(self, view):
        return torch.rand(view.patches.shape[:2])


@pytest.mark.slow
def test_what_depends_on_the_data_or_on_chance_is_refused_and_leaves_no_file(tmp_path) -> None:
    for selector, message in (
        (AsksForNumbers(blocks=[1]), "AsksForNumbers cannot be traced for a batch of any size: .*data-dependent"),
        (Draws(blocks=[1]), "got a difference of .*Draws.*draws random numbers"),
    ):
        model = model_with({"type": "UniformGrid", "blocks": [1]})
        model.backbone.selectors[0] = selector
        with pytest.raises(ConfigError, match=message):
            export_image_side(model, tmp_path / "side.pt2", kind="torch-export", measuring=NOT_TIMED)
    assert list(tmp_path.iterdir()) == []


def test_paths_and_formats_are_checked_first(tmp_path, monkeypatch) -> None:
    with pytest.raises(ConfigError, match="--format: must be one of onnx, torch-export, got 'tflite'"):
        check_target(tmp_path / "a.onnx", "tflite")
    with pytest.raises(ConfigError, match="--out: must be a file that ends in .pt2 for --format torch-export, got .*"):
        check_target(tmp_path / "a.onnx", "torch-export")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match=r"onnxruntime is not installed. Write pip install 'bus_toolkit\[onnx\]'"):
        check_target(tmp_path / "a.onnx", "onnx")


def test_a_single_stream_is_refused() -> None:
    model = SimpleNamespace(encoders=SimpleNamespace(stream=object()), eval=lambda: None)
    with pytest.raises(ConfigError, match="got SingleStreamFusion, whose blocks read words and patches together"):
        trace_image_side(model, with_text=True)


def test_the_pages_example_for_serving_engines_runs_as_typed(capsys) -> None:
    exec(EXAMPLES[-1], {})
    assert capsys.readouterr().out == "172 (1, 172) 172\n"


def test_the_model_is_left_as_it_was_and_so_is_the_home_of_the_user(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    model = model_with(SELECTORS["TSPS"]).train()
    model.backbone.eval()  # as one that is frozen
    before = [module.training for module in model.modules()]
    (tmp_path / "home").mkdir()
    (tmp_path / "home/side.pt2.data").touch()  # of an earlier, larger model
    export_image_side(model, "~/side.pt2", kind="torch-export", measuring=NOT_TIMED)
    assert [module.training for module in model.modules()] == before
    assert sorted(path.name for path in (tmp_path / "home").iterdir()) == ["side.pt2", "side.pt2.json"]
    model.backbone.double()
    with pytest.raises(ConfigError, match="in float32"):
        export_image_side(model, "side.pt2", kind="torch-export")
    assert [module.training for module in model.modules()] == before and not list(tmp_path.glob("~*"))
