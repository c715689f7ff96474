"""Rate and decay of each parameter."""

from pathlib import Path

import pytest
import torch
from mmengine.optim import DefaultOptimWrapperConstructor, build_optim_wrapper
from torch import nn

from bus_toolkit import load_config
from bus_toolkit.backbones import TokenReducingBackbone
from bus_toolkit.config.openmmlab_nodes import LAYER_DECAY
from bus_toolkit.engine.parameter_groups import describe_groups, names_part_of, own_constructor
from bus_toolkit.errors import ConfigError
from tests.backbones.adapters.vit_likes import VIT_LIKES

CONFIGS = Path(__file__).parents[2] / "registry_configs"
NO_DECAY = {"norm_decay_mult": 0.0, "bias_decay_mult": 0.0, "flat_decay_mult": 0.0}


class Tower(nn.Module):
    def __init__(self):
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(1, 4, 2))
        self.query = nn.Linear(2, 2)
        self.norm = nn.LayerNorm(2)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.vit = Tower()
        self.text = Tower()
        self.queries = nn.Parameter(torch.zeros(1, 4, 2))
        self.logit_scale = nn.Parameter(torch.zeros(()))


def groups(model, paramwise, optimizer=None, constructor=None):
    """Return rate and decay by name, as the Runner's optimizer has them."""
    node = {"type": "OptimWrapper", "optimizer": optimizer or {"type": "AdamW", "lr": 1.0, "weight_decay": 0.5}}
    node |= {"constructor": own_constructor(constructor), "paramwise_cfg": paramwise}
    names = {parameter: name for name, parameter in model.named_parameters()}
    held = build_optim_wrapper(model, node).optimizer.param_groups
    return {names[p]: (group["lr"], group["weight_decay"]) for group in held for p in group["params"]}


def test_a_rate_for_a_tower_leaves_its_norms_and_biases_without_decay():
    got = groups(Model(), {**NO_DECAY, "custom_keys": {"vit": {"lr_mult": 0.1}}})
    assert got["vit.query.weight"] == (0.1, 0.5) and got["text.query.weight"] == (1.0, 0.5)
    for name in ("query.bias", "norm.weight", "norm.bias"):
        assert got[f"vit.{name}"] == (0.1, 0.0) and got[f"text.{name}"] == (1.0, 0.0)


def test_a_single_number_is_flat():
    assert groups(Model(), NO_DECAY)["logit_scale"] == (1.0, 0.0)


def test_keys_add_up_and_the_longest_wins_where_two_give_the_same():
    keys = {"vit": {"lr_mult": 0.1}, "pos_embed": {"decay_mult": 0.0}, "vit.query": {"lr_mult": 0.5, "eps": 1e-6}}
    got = groups(Model(), {"custom_keys": keys})
    assert got["vit.pos_embed"] == (0.1, 0.0) and got["text.pos_embed"] == (1.0, 0.0)
    assert got["vit.query.weight"] == (0.5, 0.5) and got["vit.norm.weight"] == (0.1, 0.5)


def test_a_value_of_its_own_is_multiplied_by_the_rules():
    got = groups(Model(), {**NO_DECAY, "custom_keys": {"vit": {"weight_decay": 0.2, "lr": 3.0}}})
    assert got["vit.query.weight"] == (3.0, 0.2) and got["vit.query.bias"] == (3.0, 0.0)


def test_keys_without_decay_may_be_absent():
    got = groups(Model(), {"no_decay": ["queries", "pos_embed", "*_token"]})
    assert {name for name, (_, decay) in got.items() if decay == 0.0} == {"queries", "vit.pos_embed", "text.pos_embed"}


@pytest.mark.parametrize(
    ("key", "name", "expected"),
    [
        ("quer", "bert.query.weight", False),
        ("quer*", "bert.query.weight", True),
        ("queries", "decoder.queries", True),
        ("backbone.vit", "backbone.vit.ln1.weight", True),
        (".cls_token", "backbone.vit.cls_token", True),
        ("backbone.vit", "backbone.vit_b.ln1.weight", False),
        ("a.b.c", "a.b", False),
    ],
)
def test_a_key_names_whole_parts(key, name, expected):
    assert names_part_of(key, name) is expected


def test_a_key_that_names_nothing_is_refused():
    message = (
        r"custom_keys.quer: names no parameter of this model. Did you mean 'quer(y|ies)'\? A key names whole parts"
    )
    with pytest.raises(ConfigError, match=message):
        groups(Model(), {"custom_keys": {"quer": {"decay_mult": 0.0}, "vit": {"lr_mult": 0.1}}})


def test_a_multiplier_needs_a_value():
    with pytest.raises(
        ConfigError, match=r"optim_wrapper.optimizer.weight_decay: paramwise_cfg multiplies it, got none"
    ):
        groups(Model(), {"flat_decay_mult": 0.0}, {"type": "AdamW", "lr": 1.0})


def test_without_custom_keys_the_groups_are_mmengines():
    model, paramwise = Model(), {"norm_decay_mult": 0.1, "bias_decay_mult": 0.2, "bias_lr_mult": 2.0}
    optimizer = {"type": "AdamW", "lr": 1.0, "weight_decay": 0.5}
    theirs = DefaultOptimWrapperConstructor({"optimizer": optimizer}, paramwise)(model).optimizer.param_groups
    own = groups(model, paramwise)
    names = {parameter: name for name, parameter in model.named_parameters()}
    assert list(own) == [names[group["params"][0]] for group in theirs]
    assert list(own.values()) == [(group["lr"], group["weight_decay"]) for group in theirs]


def test_rates_by_depth_need_a_model_that_counts_it():
    with pytest.raises(ConfigError, match="rates by depth need a model with get_layer_depth, got Model"):
        groups(Model(), {"layer_decay_rate": 0.5}, constructor=f"mmpretrain.{LAYER_DECAY}")


def test_somebody_elses_constructor_is_left_alone():
    assert own_constructor("mmengine.DefaultOptimWrapperConstructor") is None


def test_the_table_has_a_line_for_each_rate_and_decay():
    model = Model()
    rows = [{"params": [p], "lr": 0.1, "weight_decay": 0.5 if p.ndim > 1 else 0.0} for p in model.parameters()]
    table = describe_groups(rows).splitlines()
    assert table[0].split() == ["tensors", "parameters", "rate", "decay"]
    assert table[1].split() == ["5", "32", "0.1", "0.5"] and table[2].split() == ["7", "13", "0.1", "0"]
    assert describe_groups([{**row, "lr": n} for n, row in enumerate(rows)], most=3).splitlines()[-1].split()[0] == "9"


@pytest.mark.parametrize("name", VIT_LIKES)
def test_of_any_tower_the_tiny_schedule_decays_products_alone(name):
    model = nn.Module()
    model.backbone = TokenReducingBackbone(VIT_LIKES[name].build())
    settings = load_config(CONFIGS / "bus/bus_scenes_tiny.yaml").optim_wrapper.paramwise_cfg.to_dict()
    got = groups(model, settings)
    kinds = (nn.Linear, nn.Conv2d, nn.MultiheadAttention)
    products = {
        f"{path}.{own}"
        for path, part in model.named_modules()
        if isinstance(part, kinds)
        for own, parameter in part.named_parameters(recurse=False)
        if parameter.ndim > 1
    }
    assert {name for name, (_, decay) in got.items() if decay} == products & got.keys()
