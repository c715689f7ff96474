"""The conformance kit for text encoders and text decoders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from bus_toolkit.registry import REGISTRIES, PartRegistry
from bus_toolkit.structures import TextTokens, TokenBatch
from bus_toolkit.testing import tiny
from bus_toolkit.testing.check import Case, Inputs, PartFactory, differ, run_checks
from bus_toolkit.testing.common import COMMON_CHECKS, squares

VOCABULARY = 40
_MEMORY = 5
_SIZES = {**tiny.SIZES, "hidden_size": tiny.WIDTH, "max_text_length": 16}


class _TextCase(Case):
    """A part that reads three texts of 6 token ids, the last one padded."""

    def __init__(self, registry: PartRegistry, part: str | Callable[..., nn.Module], settings: dict[str, Any]) -> None:
        provided = {"vocab_size": VOCABULARY, "pad_token_id": 0, **tiny.WIDTHS}
        super().__init__(PartFactory(registry, part, settings, _SIZES, provided))

    @override
    def inputs(self) -> Inputs:
        mask = tiny.text_inputs()["mask"]
        ids = torch.arange(1, mask.numel() + 1).reshape(mask.shape) % (VOCABULARY - 1) + 1
        return {"ids": ids * mask, "mask": mask}

    def tokens(self, inputs: Inputs) -> TokenBatch:
        """Return the texts as the parts get them."""
        return TokenBatch(inputs["ids"], inputs["mask"])


class TextEncoderCase(_TextCase):
    """A text encoder."""

    def encoded(self, part: nn.Module, inputs: Inputs) -> TextTokens:
        """Run the encoder."""
        return part(self.tokens(inputs))

    @override
    def run(self, part: nn.Module, inputs: Inputs) -> list[Tensor]:
        text = self.encoded(part, inputs)
        return [text.embeds * inputs["mask"].unsqueeze(-1), text.pooled]


class TextDecoderCase(_TextCase):
    """A text decoder and 5 states, the last two of which may not be read."""

    @override
    def inputs(self) -> Inputs:
        memory_mask = torch.ones(tiny.BATCH, _MEMORY, dtype=torch.bool)
        memory_mask[:, -2:] = False
        memory = tiny.numbers(tiny.BATCH, _MEMORY, tiny.WIDTH, seed=2)
        return {**super().inputs(), "memory": memory, "memory_mask": memory_mask}

    def logits(self, part: nn.Module, inputs: Inputs) -> Tensor:
        """Run the decoder; one that reads no states gets none."""
        if not getattr(part, "reads_memory", True):
            return part(self.tokens(inputs))
        return part(self.tokens(inputs), inputs["memory"], inputs["memory_mask"])

    @override
    def run(self, part: nn.Module, inputs: Inputs) -> list[Tensor]:
        return [self.logits(part, inputs) * inputs["mask"].unsqueeze(-1)]


def check_text_encoder(part: str | Callable[..., nn.Module], **settings: Any) -> None:
    """Check that a text encoder keeps its contract.

    Args:
        part: Its registered name, or its class.
        **settings: Arguments beside ``hidden_size``, ``num_layers``, ``num_heads`` and ``max_text_length``, which have
            tiny values, and the vocabulary, which is filled in.

    Raises:
        ConformanceError: Promises are broken; all are named.
        ComponentError: It cannot be built.
    """
    checks = (check_encoded, check_padding_unread, *COMMON_CHECKS)
    run_checks(TextEncoderCase(REGISTRIES.text_encoders, part, settings), checks)


def check_text_decoder(part: str | Callable[..., nn.Module], **settings: Any) -> None:
    """Check that a text decoder keeps its contract; arguments and errors as for ``check_text_encoder``."""
    checks = (check_logits, check_causal, check_states, *COMMON_CHECKS)
    run_checks(TextDecoderCase(REGISTRIES.text_decoders, part, settings), checks)


def check_encoded(case: TextEncoderCase) -> None:
    """Each token gets a vector as wide as ``embed_dim`` says, each text one vector, and the mask stays as it was."""
    part, inputs = case.build(), case.inputs()
    width = getattr(part, "embed_dim", None)
    assert isinstance(width, int), "embed_dim, the width of its tokens, is no attribute; other parts are built by it"
    text = case.encoded(part, inputs)
    wanted = (tiny.BATCH, tiny.LENGTH, width)
    assert text.embeds.shape == wanted, f"embeds have shape {tuple(text.embeds.shape)}, not {wanted}"
    assert text.pooled.shape == (tiny.BATCH, width), f"pooled has shape {tuple(text.pooled.shape)}"
    assert torch.equal(text.attention_mask, inputs["mask"]), "the attention mask changed"


def check_padding_unread(case: TextEncoderCase) -> None:
    """The ids in padded positions change nothing."""
    part, inputs = case.build(), case.inputs()
    noisy = dict(inputs, ids=torch.where(inputs["mask"], inputs["ids"], 3))
    problem = differ(case.run(part, noisy), case.run(part, inputs), 1e-4)
    assert not problem, f"other padding: {problem}"


def check_logits(case: TextDecoderCase) -> None:
    """There is one logit for each entry of the vocabulary at each position."""
    got, wanted = case.logits(case.build(), case.inputs()).shape, (tiny.BATCH, tiny.LENGTH, VOCABULARY)
    assert got == wanted, f"logits have shape {tuple(got)}, not {wanted}"


def check_causal(case: TextDecoderCase) -> None:
    """A position never depends on later tokens: these are what it is trained to predict."""
    part, inputs = case.build(), case.inputs()
    later = inputs["ids"].clone()
    later[:, 3:] = 7
    got, wanted = case.logits(part, dict(inputs, ids=later)), case.logits(part, inputs)
    problem = differ([got[:, :3]], [wanted[:, :3]], 1e-4)
    assert not problem, f"other tokens from position 3 on, read at positions 0 to 2: {problem}"


def check_states(case: TextDecoderCase) -> None:
    """It reads the states that it may read, and no others; one that reads none says ``reads_memory = False``."""
    part, inputs = case.build(), case.inputs()
    if not getattr(part, "reads_memory", True):
        return
    memory = inputs["memory"].clone().requires_grad_()
    squares([case.logits(part, dict(inputs, memory=memory))]).backward()
    assert memory.grad is not None, "the states are not read"
    read = memory.grad.abs().sum(dim=-1) > 0
    assert read[inputs["memory_mask"]].all(), "some states are not read"
    assert not read[~inputs["memory_mask"]].any(), "states that memory_mask forbids are read"
