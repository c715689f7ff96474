"""Low-rank adapters in a causal language model, by the package peft."""

from __future__ import annotations

from collections.abc import Sequence

from bus_toolkit.errors import ConfigError, Problem
from bus_toolkit.text_decoders.causal_base import CausalLanguageModel


def add_lora(
    part: CausalLanguageModel,
    /,
    *,
    rank: int = 8,
    alpha: float = 16.0,
    dropout: float = 0.0,
    target_modules: Sequence[str] = ("q_proj", "v_proj"),
) -> None:
    """Let a language model learn by low-rank matrices beside some of its own, which stay as they are.

    The method is that of arXiv 2106.09685.

    Args:
        part: Changed in place: only the added matrices learn from now on.
        rank: Rank of the added matrices.
        alpha: Their product is multiplied by ``alpha / rank``.
        dropout: Probability of dropout before them.
        target_modules: Last parts of the names of the linear layers that get them.

    Raises:
        ConfigError: peft is not installed, or refuses the settings.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        text = f"needs the package peft, which cannot be imported ({error}). Run pip install 'bus_toolkit[lora]'."
        raise ConfigError(Problem("model.lora", text)) from error
    settings = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=list(target_modules))
    try:
        inject_adapter_in_model(settings, part.model)
    except ValueError as error:
        raise ConfigError(Problem("model.lora", " ".join(str(error).split()))) from error
