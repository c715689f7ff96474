import pytest
from mmpretrain.models import BEiTViT
from torch import nn

from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from bus_toolkit.models.layer_depth import layer_depth
from bus_toolkit.testing.model import tiny_model as whole_model
from bus_toolkit.text_encoders.bert import BertTextEncoder
from tests.tiny import VOCABULARY, WIDTH
from tests.tiny_model import tiny_model


@pytest.fixture(scope="module")
def model():
    return tiny_model()  # four blocks of vision, one layer of text


def below_top(model, name):
    depth, count = model.get_layer_depth(name)
    return count - 1 - depth


def test_a_vision_transformer_is_as_deep_as_mmpretrain_says(model):
    for name, _ in model.backbone.vit.named_parameters():
        theirs, count = model.backbone.vit.get_layer_depth(name)
        assert below_top(model, f"backbone.vit.{name}") == count - 1 - theirs


def test_both_towers_end_below_the_top(model):
    assert below_top(model, "backbone.vit.layers.3.ln1.weight") == 1
    assert below_top(model, "text_encoder.bert.encoder.layer.0.output.dense.weight") == 1
    assert below_top(model, "backbone.vit.cls_token") == 5
    assert below_top(model, "text_encoder.bert.embeddings.word_embeddings.weight") == 2


def test_all_after_the_towers_and_between_their_blocks_is_at_the_top(model):
    prefixes = ("heads.", "decoder.", "fusion.", "text_decoder.", "backbone.selectors.", "backbone.vit.ln1.")
    names = [name for name, _ in model.named_parameters() if name.startswith(prefixes)]
    assert {name.split(".")[0] for name in names} == {"heads", "decoder", "fusion", "text_decoder", "backbone"}
    assert {below_top(model, name) for name in names} == {0}


def test_every_parameter_has_a_depth_of_the_same_count(model):
    depths = [model.get_layer_depth(name) for name, _ in model.named_parameters(remove_duplicate=False)]
    assert {count for _, count in depths} == {6} and {depth for depth, _ in depths} == set(range(6))


def test_the_prefix_is_taken_off(model):
    name = "backbone.vit.layers.1.ln1.weight"
    assert model.get_layer_depth(f"module.{name}", "module.") == model.get_layer_depth(name)


def test_a_higher_text_encoder_sets_the_count():
    model = tiny_model()
    sizes = {"vocab_size": VOCABULARY, "pad_token_id": 0, "num_heads": 4, "max_text_length": 12}
    model.text_encoder = BertTextEncoder(num_layers=7, hidden_size=WIDTH, **sizes)
    assert model.get_layer_depth("text_encoder.bert.embeddings.word_embeddings.weight") == (0, 9)
    assert model.get_layer_depth("text_encoder.bert.encoder.layer.0.output.dense.weight") == (1, 9)
    assert model.get_layer_depth("backbone.vit.layers.0.ln1.weight") == (4, 9)
    assert model.get_layer_depth("backbone.vit.cls_token") == (3, 9)


class Untold(nn.Module):
    """A transformer that says nothing of its depth: three layers between embedding and norm."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(2, 2)
        self.blocks = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
        self.norm = nn.LayerNorm(2)


def test_a_tower_that_says_nothing_is_counted_by_its_layers(model):
    other = tiny_model()
    other.backbone.vit = Untold()
    other.backbone.adapter.layers = other.backbone.vit.blocks
    names = ["embed.weight", "blocks.0.weight", "blocks.1.bias", "blocks.2.weight", "norm.bias"]
    assert [below_top(other, f"backbone.vit.{name}") for name in names] == [4, 3, 2, 1, 0]


def test_a_rule_that_is_missing_for_this_size_is_none():
    class Unsure(Untold):
        def get_layer_depth(self, name):  # as mmpretrain's ResNet of most depths
            raise NotImplementedError

    other = tiny_model()
    other.backbone.vit = Unsure()
    other.backbone.adapter.layers = other.backbone.vit.blocks
    assert below_top(other, "backbone.vit.blocks.0.weight") == 3


def test_a_backbone_that_is_one_block_lies_one_step_down():
    model = tiny_model()
    model.backbone.vit = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model.backbone.adapter.layers = (model.backbone.vit,)
    assert [below_top(model, f"backbone.vit.{name}") for name in ("0.weight", "1.bias")] == [1, 1]


def test_a_text_encoder_without_layers_is_at_the_top():
    model = tiny_model()
    model.text_encoder = nn.Linear(2, 2)
    assert layer_depth(model.backbone, model.text_encoder, "text_encoder.weight") == (5, 6)


def test_another_transformer_of_mmpretrain_decides_for_itself():
    arch = {"embed_dims": 32, "num_layers": 2, "num_heads": 4, "feedforward_channels": 64}
    vit = BEiTViT(arch=arch, img_size=32, patch_size=8, out_type="raw")
    model = tiny_model()
    model.backbone = TokenReducingBackbone(vit)
    names = ["layers.0.attn.qkv.weight", "layers.1.ffn.layers.1.bias", "patch_embed.projection.weight"]
    assert [below_top(model, f"backbone.vit.{name}") for name in names] == [2, 1, 3]


def test_a_backbone_whose_own_rule_knows_no_such_depth_is_one_layer() -> None:
    node = {"type": "mmpretrain.ResNet", "depth": 18, "img_size": 32, "num_stages": 2, "out_indices": [1]}
    node |= {"strides": [1, 2], "dilations": [1, 1]}
    selector = {"type": "TSPS", "blocks": [1], "keep_ratio": 0.5}
    model = whole_model({"itc": {"type": "ITCHead", "feature_dim": 16}}, backbone=node, selectors=[selector])
    assert model.get_layer_depth("backbone.vit.conv1.weight") == (1, 3)
    assert model.get_layer_depth("heads.itc.logit_scale") == (2, 3)
