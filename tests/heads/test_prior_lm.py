"""Tokens that a language model without images finds hard count more."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from bus_toolkit import load_config
from bus_toolkit.errors import CheckpointError, ComponentError, ConfigError
from bus_toolkit.heads.prior_lm import PriorLMHead
from bus_toolkit.models.vlp import VLPModel
from bus_toolkit.structures import TokenBatch
from bus_toolkit.testing.model import tiny_model as tiny_built_model
from bus_toolkit.weights.reading import read_weights
from tests.tiny import VOCABULARY, images, token_batch
from tests.tiny_model import samples, tiny_model, tiny_reference

PRIOR = Path(__file__).parents[2] / "registry_configs" / "prior"


class Oracle(nn.Module):
    """Replaces a reference: gives the true next token a fixed probability at each place."""

    reads_memory = False

    def __init__(self, *probabilities: float) -> None:
        super().__init__()
        self.probabilities = torch.tensor(probabilities)

    def forward(self, tokens: TokenBatch) -> Tensor:
        rest = (1 - self.probabilities) / (VOCABULARY - 1)
        length = tokens.input_ids.shape[1]
        out = rest[:, None].expand(-1, VOCABULARY)[None, :length].repeat(len(tokens.input_ids), 1, 1)
        following = tokens.input_ids.roll(-1, dims=1)
        truth = self.probabilities[None, :length, None].expand(len(out), -1, -1)
        return out.scatter(2, following.unsqueeze(2), truth).log()


def with_head(reference: nn.Module | None = None, **settings: Any) -> VLPModel:
    model = tiny_model(momentum={"decay": 0.5})
    model.heads["prefix_lm"] = PriorLMHead(reference=reference or tiny_reference(), **settings)
    return model


def prefix_loss(model: VLPModel) -> Tensor:
    return model.loss(images(4), samples())["loss_prefix_lm"]


def test_gamma_zero_is_the_plain_loss_bit_for_bit() -> None:
    assert torch.equal(prefix_loss(with_head(gamma=0.0)), prefix_loss(tiny_model(momentum={"decay": 0.5})))
    assert not torch.equal(prefix_loss(with_head(gamma=1.0)), prefix_loss(tiny_model(momentum={"decay": 0.5})))


def test_the_weights_are_what_the_reference_leaves_open() -> None:
    head = PriorLMHead(reference=Oracle(0.5, 0.9, 0.2, 1.0, 0.5), gamma=2.0)
    weights = head.token_weights(token_batch(batch=2, length=5))
    torch.testing.assert_close(weights, torch.tensor([[0.25, 0.01, 0.64, 0.0]]).expand(2, -1))


def test_the_loss_is_the_weighted_mean_over_the_wanted_tokens() -> None:
    """Captions of 6, 4, 7 and 5 tokens after [CLS] alone; only the first three of them count: 0.5, 0.1 and 0.8."""
    model = with_head(Oracle(0.5, 0.9, 0.2, *[1.0] * 9), max_prefix=0.0)
    seen: list[Tensor] = []
    model.text_decoder.register_forward_hook(lambda module, args, out: seen.append(out))
    loss = prefix_loss(model)
    ids = model.encoders.tokenize([s.text for s in samples()]).input_ids
    losses = -seen[0].log_softmax(dim=-1).gather(2, ids[:, 1:, None]).squeeze(2)
    weights = torch.tensor([0.5, 0.1, 0.8])
    torch.testing.assert_close(loss, (losses[:, :3] * weights).sum() / (4 * weights.sum()))


def test_the_weights_have_mean_one_so_that_equal_losses_stay_what_they_are() -> None:
    model = with_head()
    model.text_decoder.register_forward_hook(lambda module, args, out: torch.zeros_like(out))
    torch.testing.assert_close(prefix_loss(model), torch.tensor(math.log(VOCABULARY)))


def test_a_reference_that_is_certain_of_everything_gives_a_loss_of_zero() -> None:
    model = with_head(Oracle(*[1.0] * 12))
    loss = prefix_loss(model)
    loss.backward()
    assert loss == 0
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_training_never_touches_the_reference() -> None:
    model = with_head(tiny_reference(dropout=0.5)).train()
    head = model.heads["prefix_lm"]
    before = {name: value.clone() for name, value in head.reference.state_dict().items()}
    assert model.training and head.training and not any(module.training for module in head.reference.modules())
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    for _ in range(2):
        sum(value for name, value in model.loss(images(4), samples()).items() if "loss" in name).backward()
        optimizer.step()
        model.after_step()
    assert all(p.grad is None for p in head.reference.parameters())
    assert all(torch.equal(value, before[name]) for name, value in head.reference.state_dict().items())
    assert "reference" not in "".join(model.momentum.state_dict())


def test_the_reference_travels_in_the_checkpoint() -> None:
    model, other = with_head(tiny_reference(seed=1)), with_head(tiny_reference(seed=2))
    other.load_state_dict(model.state_dict())
    assert torch.equal(prefix_loss(model), prefix_loss(other))


@pytest.mark.parametrize("prefix", ["", "text_decoder.", "heads.prefix_lm.reference.", "heads.other.reference."])
@pytest.mark.parametrize("kind", ["pth", "safetensors"])
def test_weights_are_loaded_when_a_training_starts(prefix: str, kind: str, tmp_path: Path) -> None:
    trained = tiny_reference(seed=9)
    path = tmp_path / f"reference.{kind}"
    weights = {prefix + name: value.clone() for name, value in trained.state_dict().items()}
    torch.save({"state_dict": weights}, path) if kind == "pth" else save_file(weights, path)
    model = with_head(reference_weights=str(path))
    model.init_weights()
    loaded = model.heads["prefix_lm"].reference.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in trained.state_dict().items())


def test_missing_and_foreign_weights_are_refused_before_the_first_step(tmp_path: Path) -> None:
    setting = r"model\.heads\.prefix_lm\.reference_weights: "
    advice = "Train the reference first: bus-toolkit train prior/reference_scenes_tiny"
    with pytest.raises(CheckpointError, match=f"{setting}.*gone.pth: no such checkpoint.*{advice}"):
        with_head(reference_weights="gone.pth").init_weights()
    with pytest.raises(CheckpointError, match=f"{setting}the reference has no weights, got null.*{advice}"):
        with_head().init_weights()
    path = tmp_path / "wide.pth"
    torch.save({"state_dict": tiny_reference(text_dim=8).state_dict()}, path)
    with pytest.raises(
        CheckpointError, match=f"{setting}.*wide.pth does not fit the reference.*size mismatch.*text_dim"
    ):
        PriorLMHead(reference=tiny_reference(), reference_weights=str(path)).load_weights(
            read_weights, "model.heads.prefix_lm"
        )


def test_a_reference_with_weights_of_its_own_needs_no_file() -> None:
    reference = tiny_reference()
    reference.is_pretrained = True
    PriorLMHead(reference=reference).load_weights(read_weights, "model.heads.prior")


def test_a_negative_gamma_and_a_reference_that_reads_images_are_refused() -> None:
    with pytest.raises(ValueError, match="gamma: must be 0 or more, got -1"):
        PriorLMHead(reference=tiny_reference(), gamma=-1.0)
    with pytest.raises(ValueError, match="reference: must read no image, got a BertTextDecoder.*: set cross_attention"):
        PriorLMHead(reference=tiny_reference(cross_attention=True))


def test_the_builder_makes_the_reference_as_wide_as_the_text_and_checks_it() -> None:
    head = {"type": "PriorLMHead", "reference": {"type": "BertTextDecoder", "cross_attention": False, "num_heads": 4}}
    model = tiny_built_model({"prefix_lm": head})
    config = model.heads["prefix_lm"].reference.bert.config
    assert (config.hidden_size, config.vocab_size) == (32, model.tokenizer.vocab_size)
    default = tiny_built_model({"prefix_lm": {"type": "PriorLMHead"}}).heads["prefix_lm"].reference
    assert default.bert.config.num_hidden_layers == 2
    with pytest.raises(ConfigError, match="positions of model.heads.prefix_lm.reference, got 16"):
        tiny_built_model({"prefix_lm": {**head, "reference": {**head["reference"], "max_text_length": 8}}})
    with pytest.raises(ComponentError, match="prefix_lm: .*reference: must read no image"):
        tiny_built_model({"prefix_lm": {**head, "reference": {"type": "BertTextDecoder", "num_heads": 4}}})


def test_mistakes_in_the_reference_are_reported_with_their_path() -> None:
    place = "model.heads.prefix_lm.reference"
    with pytest.raises(ConfigError) as caught:
        load_config(
            PRIOR / "prior_scenes_tiny.yaml",
            {place: {"type": "BertTextDecoder", "num_layer": 2, "dropout": "much"}, "model.heads.prefix_lm.gamma": "x"},
        )
    text = str(caught.value)
    assert f"{place}.num_layer: BertTextDecoder has no argument 'num_layer'. Did you mean 'num_layers'?" in text
    assert f"{place}.dropout: must be a number, got 'much'." in text
    assert "model.heads.prefix_lm.gamma: must be a number, got 'x'." in text
    with pytest.raises(ConfigError, match=f"{place}: must be a mapping with a 'type', got 'bert'"):
        load_config(PRIOR / "prior_scenes_tiny.yaml", {place: "bert"})


def test_another_kind_of_reference_keeps_only_what_it_takes(tmp_path: Path) -> None:
    child = tmp_path / "child.yaml"
    child.write_text(
        f"_base_: {PRIOR / 'prior_scenes_tiny.yaml'}\n"
        "model: {heads: {prefix_lm: {reference: {type: CausalLMFolder, folder: weights}}}}\n"
    )
    reference = load_config(child).model.heads.prefix_lm.reference
    assert reference == {"type": "CausalLMFolder", "folder": "weights"}
