"""Prefix language modelling that favours the words that only the image can reveal."""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn

from bus_toolkit.errors import CheckpointError
from bus_toolkit.heads.base import NestedPart, ReadWeights
from bus_toolkit.heads.prefix_lm import PrefixLMHead
from bus_toolkit.losses.token_weights import difficulty_weights, next_token_log_probs
from bus_toolkit.structures import TokenBatch

_TRAIN_FIRST = "Train the reference first: bus-toolkit train prior/reference_scenes_tiny"
# Where the reference is in a checkpoint of a model with this head, and in one of its own recipe.
_PREFIXES = re.compile(r"heads\.[^.]+\.reference\.|text_decoder\.")


class PriorLMHead(PrefixLMHead):
    """Continue a caption, each token weighted by how hard it is for a language model that sees no image.

    PRIOR (arXiv 2505.08971) trains a text-only reference on the captions first; what it predicts well needs no image,
    and gets little weight. No visual token is removed, so this goes with any selector. Ours, since the paper was not
    readable to us: the weight ``(1 - p) ** gamma``, divided by its mean over the wanted tokens of the global batch
    (tokens that are all certain give a loss of zero), a small BERT as the reference, and prefixes: PRIOR predicts whole
    captions (``max_prefix: 0``). The reference is part of the checkpoint: resuming and evaluating ask for no file.

    Args:
        reference: A text decoder that reads no image; frozen. It must know the tokenizer's vocabulary by the same ids.
        reference_weights: Checkpoint of ``CaptionLanguageModel`` (or of a model with this head), ``.pth`` or
            ``.safetensors``, read when a training starts; ``None`` if the reference brings its weights.
        gamma: Of 0 or more: how much hard tokens are favoured; 0 is the plain loss.
        max_prefix: As in ``PrefixLMHead``.
        label_smoothing: As in ``PrefixLMHead``.
        weight: Factor of the loss in the sum.
        start_epoch: The loss joins in at this epoch.

    Raises:
        ValueError: A negative ``gamma``, or a reference that reads an image.
    """

    distils = ()
    nested_parts = {
        "reference": NestedPart(
            "text_decoders", {"type": "BertTextDecoder", "num_layers": 2, "num_heads": 4, "cross_attention": False}
        )
    }

    def __init__(
        self,
        *,
        reference: nn.Module,
        reference_weights: str | None = None,
        gamma: float = 1.0,
        max_prefix: float = 0.5,
        label_smoothing: float = 0.0,
        weight: float = 1.0,
        start_epoch: float = 0.0,
    ) -> None:
        super().__init__(max_prefix=max_prefix, label_smoothing=label_smoothing, weight=weight, start_epoch=start_epoch)
        if gamma < 0:
            raise ValueError(f"gamma: must be 0 or more, got {gamma}.")
        if getattr(reference, "reads_memory", True):
            raise ValueError(
                f"reference: must read no image, got a {type(reference).__name__} that does. "
                "BertTextDecoder: set cross_attention: false."
            )
        self.gamma = gamma
        self.reference_weights = reference_weights
        self.reference = reference.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> PriorLMHead:
        """Keep the reference in eval mode."""
        super().train(mode)
        self.reference.eval()
        return self

    @torch.no_grad()
    def token_weights(self, tokens: TokenBatch) -> Tensor:
        """Return ``(1 - p) ** gamma`` of each token after the first, (B, L - 1)."""
        return difficulty_weights(next_token_log_probs(self.reference(tokens), tokens.input_ids), self.gamma)

    def load_weights(self, read: ReadWeights, path: str) -> None:
        """Load the reference.

        Raises:
            CheckpointError: No file is named though the reference is untrained, it cannot be read, or does not fit.
        """
        setting = f"{path}.reference_weights"
        if self.reference_weights is None:
            if not getattr(self.reference, "is_pretrained", False):
                raise CheckpointError(
                    f"{setting}: the reference has no weights, got null. Name the checkpoint of a trained one. "
                    f"{_TRAIN_FIRST}"
                )
            return
        try:
            weights = read(self.reference_weights, same_words=True)
        except CheckpointError as error:
            raise CheckpointError(f"{setting}: {error} {_TRAIN_FIRST}") from error
        starts = sorted({match.group() for match in map(_PREFIXES.match, weights) if match})
        prefix = starts[0] if starts else ""  # "heads..." before "text_decoder.", which such a model has as well
        own = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
        try:
            self.reference.load_state_dict(own)
        except RuntimeError as error:
            raise CheckpointError(
                f"{setting}: {self.reference_weights} does not fit the reference. {' '.join(str(error).split())[:400]} "
                "Its tokenizer and text_decoder must be those of model.tokenizer and of reference (text_dim, where it "
                "is not written there, is text_encoder.hidden_size)."
            ) from error
