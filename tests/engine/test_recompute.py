import mmengine.runner.runner as mmengine_runner
import pytest
import torch

from bus_toolkit.engine.recompute import matching_modules, own_checkpointing, recompute_in_backward
from bus_toolkit.errors import ConfigError
from bus_toolkit.selectors.text_guided_attention import TextGuidedAttentionSelector
from tests.tiny import images
from tests.tiny_model import samples, tiny_model

BLOCKS = ["backbone.vit.layers.*"]
TEXT, FUSION, DECODER, WRITER = "text_encoder.bert.encoder.layer.*", "fusion.layers.*", "decoder", "text_decoder"


def gradients(model):
    """Run one training step's passes; return the losses, the gradients, and how often the last block's norm ran."""
    runs = []
    handle = model.backbone.vit.layers[-1].ln2.register_forward_hook(lambda *_: runs.append(1))
    losses = model(images(4), samples(), mode="loss")
    total, _ = model.parse_losses(losses)
    total.backward()
    handle.remove()
    return losses, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}, len(runs)


def assert_same_step(make, patterns):
    plain, changed = make(), make()
    recompute_in_backward(changed, patterns)
    (losses, wanted, runs), (losses_again, found, runs_again) = gradients(plain), gradients(changed)
    assert all(torch.equal(losses[name], losses_again[name]) for name in losses)
    assert wanted.keys() == found.keys()
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, rtol=0, atol=0, msg=name)
    return runs, runs_again


@pytest.mark.parametrize("patterns", [BLOCKS, [TEXT], [FUSION], [DECODER], [WRITER], [*BLOCKS, TEXT, FUSION, DECODER]])
def test_losses_and_gradients_are_the_same_to_the_bit(patterns):
    runs, again = assert_same_step(tiny_model, patterns)
    assert again == (2 * runs if BLOCKS[0] in patterns else runs)


def test_blocks_with_a_selector_inside_are_run_again_too():
    def make():
        selector = TextGuidedAttentionSelector(blocks=[4], embed_dim=32, text_dim=32, keep_ratio=0.5)
        return tiny_model(selectors=[selector])

    runs, again = assert_same_step(make, BLOCKS)
    assert again == 2 * runs


def test_an_evaluation_runs_nothing_twice():
    model = tiny_model().eval()
    recompute_in_backward(model, BLOCKS)
    runs = []
    model.backbone.vit.layers[0].ln1.register_forward_hook(lambda *_: runs.append(1))
    with torch.no_grad():
        model(images(4))
    assert len(runs) == 1


def test_the_momentum_copies_and_the_names_of_weights_stay_as_they_are():
    model = tiny_model(momentum={"decay": 0.9})
    names = list(model.state_dict())
    recompute_in_backward(model, BLOCKS)
    assert list(model.state_dict()) == names
    assert "forward" not in vars(model.momentum.copies["backbone"].vit.layers[0])


def test_a_star_matches_one_part_of_a_name():
    model = tiny_model()
    assert matching_modules(model, BLOCKS) == [f"backbone.vit.layers.{i}" for i in range(4)]
    assert matching_modules(model, ["fusion", "backbone.vit.layers.1", "backbone.vit.layers.1"]) == [
        "backbone.vit.layers.1",
        "fusion",
    ]
    assert matching_modules(model, "decoder") == ["decoder"]


def test_all_patterns_that_name_nothing_are_reported_at_once():
    with pytest.raises(ConfigError) as caught:
        matching_modules(tiny_model(), ["backbone.vit.layer.*", "decoder", "fusions"])
    assert [str(problem).split(".")[0] for problem in caught.value.problems] == [
        "activation_checkpointing: the model has no module 'backbone",
        "activation_checkpointing: the model has no module 'fusions'",
    ]
    assert "Did you mean 'fusion'?" in str(caught.value.problems[1])


def test_mmengine_has_its_own_function_back_afterwards():
    theirs = mmengine_runner.turn_on_activation_checkpointing
    with pytest.raises(ZeroDivisionError), own_checkpointing():
        assert mmengine_runner.turn_on_activation_checkpointing is recompute_in_backward
        raise ZeroDivisionError
    assert mmengine_runner.turn_on_activation_checkpointing is theirs


@pytest.mark.parametrize(
    ("pattern", "remedy"),
    [
        ("backbone.vit.layers", r"got ModuleList, .* Write backbone.vit.layers.\*, the modules of its list"),
        ("heads.mlm", r"got MLMHead, .* Write heads.mlm.\*, its parts"),
        ("heads", r"got ModuleDict, "),
        ("fusion.layers", r"got ModuleList, .* Write fusion.layers.\*"),
    ],
)
def test_what_has_no_forward_pass_is_refused_before_the_first_step(pattern, remedy):
    with pytest.raises(ConfigError, match=f"{pattern}' must name modules that run, {remedy}"):
        matching_modules(tiny_model(), [pattern])


@pytest.mark.parametrize("pattern", ["backbone", "backbone.vit", "back*"])
def test_a_backbone_that_is_entered_between_its_blocks_is_refused_in_the_first_step(pattern):
    model = tiny_model()
    recompute_in_backward(model, [pattern, DECODER])
    with pytest.raises(ConfigError) as caught:
        model(images(4), samples(), mode="loss")
    (problem,) = caught.value.problems
    assert f"no module of '{pattern}' ran as a whole" in str(problem)
    assert "Write backbone.vit.layers.*, the modules of its list" in str(problem)


def test_what_a_late_head_alone_uses_is_looked_at_when_the_head_has_joined():
    model = tiny_model()
    model.heads["prefix_lm"].start_epoch = 1.0
    recompute_in_backward(model, [WRITER, "backbone"])
    model.set_progress(0.5, 0)
    model(images(4), samples(), mode="loss")
    model.set_progress(1.0, 1)
    with pytest.raises(ConfigError) as caught:
        model(images(4), samples(), mode="loss")
    assert ["'backbone'" in str(problem) for problem in caught.value.problems] == [True]


def test_after_the_first_step_nothing_is_watched():
    model = tiny_model()
    recompute_in_backward(model, BLOCKS)
    model(images(4), samples(), mode="loss")
    assert not model._forward_hooks and not model.backbone.vit.layers[0]._forward_hooks
