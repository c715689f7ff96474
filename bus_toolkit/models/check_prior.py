"""What a prior on the fusion's attention needs from the other parts: checked when a model is built."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import torch
from torch import nn

from bus_toolkit.backbones.token_counts import fewest_tokens
from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from bus_toolkit.errors import Problem, describe
from bus_toolkit.ops.eval_mode import in_eval_mode
from bus_toolkit.priors.base import FusionPrior
from bus_toolkit.step.parts import Parts
from bus_toolkit.structures import VisualTokens

_PATH = "model.prior"


def prior_problems(parts: Parts) -> Iterator[Problem]:
    """Yield what is wrong with the parts of a model for the prior that it has; nothing without one."""
    prior, fusion = parts.prior, parts.fusion
    if prior is None:
        return
    if not isinstance(prior, FusionPrior):
        text = f"must be a bus_toolkit.priors.FusionPrior, got {describe(prior)}. Give another part."
        yield Problem(_PATH, text)
        return
    name = type(prior).__name__
    if fusion is None:
        text = f"{name} is added to the attention of a fusion, and there is none. Add model.fusion, or leave it out."
        yield Problem(_PATH, text)
    elif "prior" not in inspect.signature(fusion.forward).parameters:
        text = (
            f"{name} is added where the text reads the image, and {type(fusion).__name__} takes no prior there. Use "
            "CrossAttentionFusion, SkipConnectedFusion or CoAttentionFusion, or leave it out."
        )
        yield Problem(_PATH, text)
    if prior.needs_scores:
        yield from _score_problems(name, parts)


def trains_prior(parts: Parts) -> bool:
    """Return whether a patch-text head can train the scores of the prior: they are logits of tokens with a place."""
    if parts.prior is None or not parts.prior.supervised:
        return False
    return _decoded(parts.decoder, parts.backbone).origin is not None


def _score_problems(name: str, parts: Parts) -> Iterator[Problem]:
    last = max(parts.backbone.selectors, key=lambda selector: selector.blocks[-1], default=None)
    if last is None or not last.ranks:
        got = "no selector" if last is None else f"{type(last).__name__}, which gives the tokens that it leaves none"
        text = f"{name} reads the scores of the last selector, got {got}. Use another selector, or TextScorePrior."
        yield Problem(_PATH, text)
    if _decoded(parts.decoder, parts.backbone).scores is None:
        text = (
            f"{name} reads a score of each token that the fusion reads, and those of {type(parts.decoder).__name__} "
            "have none. Write decoder: {type: Identity}, or {type: PAD, query_init: topk}, or use TextScorePrior."
        )
        yield Problem(_PATH, text)


def _decoded(decoder: nn.Module, backbone: TokenReducingBackbone) -> VisualTokens:
    """Return what a decoder hands on of one image with scores and places; only running it shows that."""
    (rows, columns), num_tokens = backbone.grid, fewest_tokens(backbone.selectors, backbone.grid)
    like = next(decoder.parameters(), next(backbone.parameters()))
    num_prefix = backbone.num_prefix + int(backbone.adapter.pools)
    embeds = like.new_zeros(1, num_prefix + num_tokens, backbone.embed_dim)
    origin = torch.arange(rows * columns, device=like.device).remainder(num_tokens).unsqueeze(0)
    scores = embeds[:, num_prefix:, 0]
    with torch.no_grad(), in_eval_mode(decoder):  # norms over the batch would remember it
        return decoder(VisualTokens(embeds, num_prefix, backbone.grid, origin=origin, scores=scores), None)
