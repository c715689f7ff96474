"""Only backbones are suggested where a backbone is asked for."""

import pytest

from bus_toolkit.errors import ComponentError
from bus_toolkit.registry import new_registries


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("mmpretrain.Swin", "mmpretrain.SwinTransformer"),
        ("mmpretrain.SwinT", "mmpretrain.SwinTransformer"),
        ("ViT", "mmpretrain.VisionTransformer"),
        ("mmpretrain.ViT", "mmpretrain.VisionTransformer"),
        ("mmpretrain.BeiT", "mmpretrain.BEiTViT"),
        ("VisionTransfromer", "mmpretrain.VisionTransformer"),
        ("mmpretrain.deit3", "mmpretrain.DeiT3"),
    ],
)
def test_a_name_that_is_no_backbone_leads_to_the_one_that_is_meant(asked: str, meant: str) -> None:
    with pytest.raises(ComponentError, match=f"Did you mean '{meant}'\\?"):
        new_registries().backbones.get(asked, "model.backbone")


def test_a_name_like_no_other_gets_no_suggestion() -> None:
    with pytest.raises(ComponentError) as caught:
        new_registries().backbones.get("zzzzzzzz", "model.backbone")
    assert "Did you mean" not in str(caught.value)
