"""Where a caption is split."""

from __future__ import annotations

import pytest
import torch

from bus_toolkit.heads.prefix_lm import PrefixLMHead
from tests.tiny import images, token_batch
from tests.tiny_model import samples, tiny_model


def test_the_prefix_holds_cls_and_at_most_half_of_the_caption() -> None:
    tokens = token_batch(batch=1000, length=10, padded=2)
    lengths = PrefixLMHead().prefix_lengths(tokens, torch.rand(1000))
    assert sorted(lengths.unique().tolist()) == [1, 2, 3, 4]


def test_a_language_model_without_prefix_is_given_cls_alone() -> None:
    lengths = PrefixLMHead(max_prefix=0.0).prefix_lengths(token_batch(batch=50, length=10), torch.rand(50))
    assert lengths.unique().tolist() == [1]
    with pytest.raises(ValueError, match=r"max_prefix: must be in \[0, 1\), got 1.0"):
        PrefixLMHead(max_prefix=1.0)


def test_words_of_the_prefix_are_not_predicted() -> None:
    """The loss with a prefix of all but the last token is the cross-entropy of that token alone."""
    model = tiny_model().eval()
    head = model.heads["prefix_lm"]
    head.prefix_lengths = lambda tokens, noise: tokens.attention_mask.sum(dim=1) - 1  # type: ignore[method-assign]
    seen: list[torch.Tensor] = []
    model.text_decoder.register_forward_hook(lambda module, args, out: seen.append(out))
    loss = model.loss(images(4), samples())["loss_prefix_lm"]
    last = model.encoders.tokenize([s.text for s in samples()]).attention_mask.sum(dim=1) - 1
    logits = seen[0][torch.arange(4), last - 1]
    separator = torch.full((4,), 3)
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(logits, separator))
