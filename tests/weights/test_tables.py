"""Every table: it reads, its names are distinct from those of the others, and it converts there and back."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bus_toolkit.text_decoders.bert import BertTextDecoder
from bus_toolkit.text_encoders.bert import BertTextEncoder
from bus_toolkit.weights.mapping import OPERATIONS, from_target, to_target
from bus_toolkit.weights.table_files import layouts, target_of, targets
from tests.weights.sources import HEADS, VOCABULARY, WIDTH, beit, eva02, randomised, vit

TOWERS = sorted(name for name, one in layouts().items() if one.target != "vlp")
BERT: dict[str, Any] = {"vocab_size": VOCABULARY, "pad_token_id": 0, "num_layers": 2, "num_heads": HEADS}
PRE_NORM = {"pre_norm": True}
SCALED = {"layer_scale_init_value": 0.1}
MODULES = {
    "hf-beit": lambda: beit(use_shared_rel_pos_bias=False, out_type="avg_featmap"),
    "hf-bert": lambda: BertTextEncoder(**BERT, hidden_size=WIDTH),
    "hf-bert-decoder": lambda: BertTextDecoder(**BERT, text_dim=WIDTH),
    "hf-clip": lambda: vit(**PRE_NORM),
    "hf-dinov2": lambda: vit(**SCALED),
    "hf-siglip": lambda: vit(with_cls_token=False),
    "hf-vit": vit,
    "mmpretrain-beit": beit,
    "mmpretrain-eva02": eva02,
    "mmpretrain-vit": lambda: vit(**PRE_NORM, **SCALED),
    "openai-clip": lambda: vit(**PRE_NORM),
    "timm-beit": lambda: beit(out_type="avg_featmap"),
    "timm-eva02": lambda: eva02(sub_ln=True),
    "timm-eva02-small": eva02,
    "timm-vit": lambda: vit(**SCALED),
    "torchvision-vit": vit,
}


def test_every_layout_of_a_tower_has_a_module_here() -> None:
    assert sorted(MODULES) == TOWERS


@pytest.mark.parametrize("name", TOWERS)
def test_a_tower_goes_there_and_back(name: str) -> None:
    layout, module = layouts()[name], randomised(MODULES[name]())
    target = target_of(dict(module.named_parameters()))
    assert target is not None and target.name == layout.target
    # Tied weights are there twice, buffers are the module's own, and a bias of the keys has no effect.
    own = dict(module.named_parameters())
    for key in own:
        if "eva02" in name and key.endswith("qkv.bias"):
            with torch.no_grad():
                own[key][WIDTH : 2 * WIDTH] = 0
    there = from_target(own, layout.rules)
    assert not there.left
    back = to_target(there.tensors, layout.rules, {}, set(own))
    assert not back.left and set(back.tensors) == set(own)
    assert all(torch.equal(back.tensors[key], own[key]) for key in own)


@pytest.mark.parametrize("name", TOWERS)
@pytest.mark.parametrize("prefix", ["", "some.tower."])
def test_a_layout_is_reported_from_the_others_of_its_target(name: str, prefix: str) -> None:
    layout = layouts()[name]
    names = from_target(dict(MODULES[name]().named_parameters()), layout.rules).tensors
    full = [prefix + layout.prefix + one for one in names] + ["other.weight"]
    found = [other for other, one in layouts().items() if one.target == layout.target and one.prefixes_in(full)]
    assert found == [name]
    assert layout.prefixes_in(full)[0].startswith(prefix + layout.prefix)


@pytest.mark.parametrize("name", sorted(layouts()))
def test_a_table_says_only_what_the_mapper_knows(name: str) -> None:
    layout = layouts()[name]
    assert layout.target in targets() and layout.about and layout.needs and layout.signature
    assert all(rule.op in OPERATIONS for rule in layout.rules)
    assert all(len(rule.sources) == 1 or rule.op == "join" for rule in layout.rules)
