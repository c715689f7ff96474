import torch
from bus_selector_saliency import SaliencySelector, register_components

from bus_toolkit.registry import new_registries
from bus_toolkit.selectors import BlockView


def _view(patches):
    origin = torch.arange(patches.shape[1]).expand(patches.shape[0], -1)
    return BlockView(patches, patches[:, :1], None, origin, 1, None, inside=None, grid=(1, origin.shape[1]))


def test_keeps_the_patch_that_differs():
    patches = torch.zeros(1, 4, 2)
    patches[0, 2] = 4.0  # mean (1, 1): the others lie sqrt(2) away from it, this one 3 * sqrt(2)
    decision = SaliencySelector(blocks=[1], keep_ratio=0.25)(_view(patches))
    plan, scores, supervised = decision.plan, decision.scores, decision.supervised
    assert torch.allclose(scores, torch.tensor([[1.0, 1.0, 3.0, 1.0]]) * 2**0.5)
    assert plan.keep_indices.tolist() == [[2]]
    assert not supervised


def test_one_image_does_not_depend_on_its_batch():
    patches = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(0))
    selector = SaliencySelector(blocks=[1])
    assert torch.equal(selector.score(_view(patches))[1:2], selector.score(_view(patches[1:2])))


def test_registers_under_its_name():
    registries = new_registries()
    register_components(registries)
    assert registries.selectors.build({"type": "Saliency", "blocks": [2]}, path="model.selectors.0").blocks == [2]
