"""Weights of towers load under the names of transformers 4 and of 5, whichever of them is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from bus_toolkit.backbones import TokenReducingBackbone
from bus_toolkit.backbones.huggingface_vision import huggingface_vision
from bus_toolkit.errors import CheckpointError
from bus_toolkit.weights.load_rule import LoadRule
from bus_toolkit.weights.loading import load_pretrained
from bus_toolkit.weights.reading import Source
from bus_toolkit.weights.tower_names import in_names_of
from bus_toolkit.weights.whole import load_whole
from tests.backbones.adapters.huggingface_kinds import tower
from tests.weights.sources import images, randomised

# Some names of each kind as transformers 4.57.6 and 5.24.0 print them; the first two of a kind show it.
NAMES = {
    "ViT": [
        ("encoder.layer.0.attention.attention.query.weight", "layers.0.attention.q_proj.weight"),
        ("encoder.layer.0.layernorm_before.weight", "layers.0.layernorm_before.weight"),
        ("encoder.layer.1.attention.attention.value.bias", "layers.1.attention.v_proj.bias"),
        ("encoder.layer.1.attention.output.dense.weight", "layers.1.attention.o_proj.weight"),
        ("encoder.layer.1.intermediate.dense.weight", "layers.1.mlp.fc1.weight"),
        ("encoder.layer.1.output.dense.bias", "layers.1.mlp.fc2.bias"),
        ("embeddings.cls_token", "embeddings.cls_token"),
        ("layernorm.weight", "layernorm.weight"),
    ],
    "DINOv2": [
        ("encoder.layer.0.attention.attention.query.weight", "encoder.layer.0.attention.q_proj.weight"),
        ("encoder.layer.0.norm1.weight", "encoder.layer.0.norm1.weight"),
        ("encoder.layer.3.attention.attention.key.bias", "encoder.layer.3.attention.k_proj.bias"),
        ("encoder.layer.3.attention.output.dense.bias", "encoder.layer.3.attention.o_proj.bias"),
        ("encoder.layer.3.mlp.weights_out.weight", "encoder.layer.3.mlp.down_proj.weight"),
        ("encoder.layer.3.layer_scale1.lambda1", "encoder.layer.3.layer_scale1.lambda1"),
    ],
    "CLIP": [
        ("vision_model.embeddings.patch_embedding.weight", "embeddings.patch_embedding.weight"),
        ("vision_model.encoder.layers.0.self_attn.q_proj.weight", "encoder.layers.0.self_attn.q_proj.weight"),
        ("vision_model.pre_layrnorm.bias", "pre_layrnorm.bias"),
        ("vision_model.post_layernorm.bias", "post_layernorm.bias"),
    ],
    "BEiT": [
        ("encoder.layer.0.attention.attention.query.weight", "layers.0.attention.q_proj.weight"),
        ("encoder.layer.0.layernorm_before.weight", "layers.0.layernorm_before.weight"),
        (
            "encoder.layer.1.attention.attention.relative_position_bias.relative_position_bias_table",
            "layers.1.relative_position_bias.relative_position_bias_table",
        ),
        (
            "encoder.relative_position_bias.relative_position_bias_table",
            "shared_position_bias.relative_position_bias_table",
        ),
    ],
}
KINDS: list[tuple[str, str, dict[str, Any]]] = [
    ("ViT", "ViTModel", {}),
    ("DINOv2", "Dinov2Model", {"mlp_ratio": 2}),
    ("DINOv2", "Dinov2Model", {"mlp_ratio": 2, "use_swiglu_ffn": True}),
    ("DINOv2", "Dinov2WithRegistersModel", {"mlp_ratio": 2}),
    ("CLIP", "CLIPVisionModel", {}),
    ("CLIP", "SiglipVisionModel", {}),
]
every_kind = pytest.mark.parametrize(("kind", "cls", "settings"), KINDS)


def under_other_names(kind: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a tower under the names of the other version than theirs."""
    is_new = NAMES[kind][0][1] in tensors
    return dict(in_names_of(tensors, () if is_new else [new for _, new in NAMES[kind]]))


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("prefix", ["", "backbone.vit."])
def test_names_of_either_version_become_those_of_the_other(kind: str, prefix: str) -> None:
    old = {prefix + name: torch.tensor(place) for place, (name, _) in enumerate(NAMES[kind])}
    new = {prefix + name: torch.tensor(place) for place, (_, name) in enumerate(NAMES[kind])}
    beside = {"text_encoder.bert.encoder.layer.0.intermediate.dense.weight": torch.tensor(0.5)}
    assert in_names_of({**new, **beside}, old) == {**old, **beside}
    assert in_names_of({**old, **beside}, new) == {**new, **beside}
    assert in_names_of({**new, **beside}) == {**old, **beside}  # the tables of layouts know these


def test_nothing_changes_where_the_names_are_those_of_the_module() -> None:
    for pairs in NAMES.values():
        for names in zip(*pairs, strict=True):
            tensors = {name: torch.zeros(1) for name in names}
            assert in_names_of(tensors, names) is tensors


def test_the_gate_of_swiglu_is_the_first_half_of_the_joint_projection() -> None:
    start = "encoder.layer.0."
    marks = [start + name for name in ("attention.q_proj.weight", "norm1.weight")]
    halves = {"gate_proj": torch.zeros(2, 3), "up_proj": torch.ones(2, 3)}
    new = {name: torch.zeros(1) for name in marks}
    new |= {f"{start}mlp.{name}.weight": half for name, half in halves.items()}
    old = in_names_of(new)
    joint = old[f"{start}mlp.weights_in.weight"]
    assert torch.equal(joint, torch.cat([halves["gate_proj"], halves["up_proj"]]))
    assert all(torch.equal(tensor, new[name]) for name, tensor in in_names_of(old, marks).items())


def test_the_text_tower_of_a_pair_keeps_its_names() -> None:
    text = {"text_model.encoder.layers.0.self_attn.q_proj.weight": torch.tensor(0.5)}
    seen = {name: torch.tensor(0.0) for name, _ in NAMES["CLIP"]}
    flat = [new for _, new in NAMES["CLIP"]]
    assert in_names_of({**seen, **text}, flat) == {**text, **dict.fromkeys(flat, torch.tensor(0.0))}
    assert in_names_of({**seen, **text}, [*seen, *text]) == {**seen, **text}


@every_kind
def test_a_state_dict_of_the_other_version_gives_the_same_tokens(kind: str, cls: str, settings: Any) -> None:
    source, target = randomised(tower(cls, **settings)), randomised(tower(cls, **settings), seed=1)
    weights = under_other_names(kind, source.state_dict())
    assert weights.keys() != source.state_dict().keys()
    TokenReducingBackbone(target).load_state_dict(weights)
    assert torch.equal(target(images()).last_hidden_state, source(images()).last_hidden_state)


@every_kind
def test_a_checkpoint_of_a_run_beside_the_other_version_is_evaluated(kind: str, cls: str, settings: Any) -> None:
    source, target = whole(randomised(tower(cls, **settings))), whole(randomised(tower(cls, **settings), seed=1))
    weights = under_other_names(kind, source.backbone.vit.state_dict())
    held = {f"backbone.vit.{name}": tensor for name, tensor in weights.items()} | {"rest.bias": torch.ones(1)}
    report = load_whole(target, Source("epoch_1.pth", held), LoadRule("evaluate"))
    assert set(report.loaded) == {name for name in target.state_dict()} and target.rest.bias == 1
    assert torch.equal(target.backbone(images()).embeds, source.backbone(images()).embeds)


@pytest.mark.parametrize(("kind", "cls", "settings"), [KINDS[0], KINDS[4]])
def test_pretrained_weights_of_the_other_version_load(kind: str, cls: str, settings: Any, tmp_path: Path) -> None:
    source, target = randomised(tower(cls, **settings)), randomised(tower(cls, image_size=64, **settings), seed=1)
    torch.save(under_other_names(kind, source.state_dict()), tmp_path / "a.pth")
    report = load_pretrained(target, tmp_path / "a.pth", part="model.backbone")
    assert (report.layout, report.missing, report.unexpected) == ("identity", [], [])
    name = next(name for name in source.state_dict() if name.endswith(("fc2.weight", "output.dense.weight")))
    assert torch.equal(target.state_dict()[name], source.state_dict()[name]) and len(report.resized) == 1


@every_kind
def test_a_folder_under_the_names_of_the_other_version_is_read(
    kind: str, cls: str, settings: Any, tmp_path: Path
) -> None:
    source = randomised(tower(cls, **settings))
    source.save_pretrained(tmp_path)
    weights = {n: t.contiguous().clone() for n, t in under_other_names(kind, source.state_dict()).items()}
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    vit = huggingface_vision(model=cls, folder=str(tmp_path)).eval()
    assert torch.equal(vit(images()).last_hidden_state, source(images()).last_hidden_state)
    save_file(dict(list(weights.items())[:-1]), tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=f"1 tensors of a {cls} are missing in its weights"):
        huggingface_vision(model=cls, folder=str(tmp_path))


def test_a_folder_of_half_precision_gives_a_tower_of_float32(tmp_path: Path) -> None:
    tower("ViTModel").half().save_pretrained(tmp_path)
    vit = huggingface_vision(model="ViTModel", folder=str(tmp_path))
    assert {parameter.dtype for parameter in vit.parameters()} == {torch.float32}


def whole(vit: nn.Module) -> Any:
    """Return a module as a run has one: a backbone and something else."""
    model = nn.Module()
    model.backbone = TokenReducingBackbone(vit).eval()
    model.rest = nn.Linear(1, 1)
    model.rest.weight = None
    return model
