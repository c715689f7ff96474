"""Contrast with soft targets and a queue, wrong pairs, next and masked words."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch.nn import functional as F

from bus_toolkit.heads.itc_candidates import soften
from bus_toolkit.losses.contrastive import positive_targets, sample_hard_negatives, soft_cross_entropy
from bus_toolkit.losses.next_token import next_token_loss
from bus_toolkit.losses.soft_targets import SoftTargets
from tests.parity.comparison import Comparison, Measured

ROWS, QUEUE, ALPHA = 16, 240, 0.4


def _similarities(seed: int) -> list[torch.Tensor]:
    """Return image to text and text to image, of the model and of its momentum copy, (B, B + queue)."""
    draw = torch.Generator().manual_seed(seed)
    return [4 * torch.randn(ROWS, ROWS + QUEUE, generator=draw, dtype=torch.float64) for _ in range(4)]


def _contrast_of_torchmultimodal() -> Measured:
    from torchmultimodal.modules.losses.albef import ImageTextContrastiveLoss

    pairs = []
    for seed in range(100):
        i2t, t2i, i2t_m, t2i_m = _similarities(seed)
        ids = torch.arange(ROWS + QUEUE)
        targets = positive_targets(ids[:ROWS], ids, torch.float64)
        present = torch.ones(ROWS + QUEUE, dtype=torch.bool)
        parts = [
            soft_cross_entropy(s, soften(targets, s_m, present, ALPHA), present).mean()
            for s, s_m in ((i2t, i2t_m), (t2i, t2i_m))
        ]
        theirs = ImageTextContrastiveLoss()(i2t, t2i, i2t_m, t2i_m, targets, ALPHA)
        pairs.append((sum(parts) / 2, theirs))
    return Measured.numbers(pairs)


def _shared_targets_of_torch() -> Measured:
    """Captions of one image share the target, as in ALBEF's fine-tuning."""
    pairs = []
    for seed in range(100):
        logits = _similarities(seed)[0]
        ids = torch.randint(0, 40, (ROWS + QUEUE,), generator=torch.Generator().manual_seed(seed))
        targets = positive_targets(ids[:ROWS], ids, torch.float64)
        same = (ids[:ROWS, None] == ids[None]).double()
        theirs = F.cross_entropy(logits, same / same.sum(1, keepdim=True), reduction="none")
        pairs.append((soft_cross_entropy(logits, targets), theirs))
    return Measured.numbers(pairs)


def _wrong_pairs(floor: float) -> Measured:
    """Frequencies of 400,000 draws a row beside those of torch.multinomial over ALBEF's or BLIP's weights."""
    logits = 3 * torch.randn(1, 8, generator=torch.Generator().manual_seed(7))
    logits[0, 5] = -15.0  # one that is never drawn without a floor
    weights = F.softmax(logits, dim=1) + floor
    weights[0, 0] = 0.0
    draws = 400_000
    allowed = (torch.arange(8) != 0).expand(draws, 8)
    noise = torch.rand(draws, 8, generator=torch.Generator().manual_seed(8))
    ours = sample_hard_negatives(logits.expand(draws, 8), allowed, noise, floor=floor)
    torch.manual_seed(9)
    theirs = torch.multinomial(weights[0], draws, replacement=True)
    shares = [torch.bincount(chosen, minlength=8) / draws for chosen in (ours, theirs)]
    return Measured.numbers([(shares[0], shares[1])])


def _next_words(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(4, 9, 50, generator=draw, dtype=torch.float64)
    ids = torch.randint(1, 50, (4, 9), generator=draw)
    lengths = torch.randint(3, 10, (4, 1), generator=draw)
    return logits, ids, torch.arange(9)[None] < lengths


def _smoothed_of_transformers() -> Measured:
    from transformers.trainer_pt_utils import LabelSmoother

    pairs = []
    for seed in range(200):
        logits, ids, real = _next_words(seed)
        labels = ids.masked_fill(~real, -100)
        theirs = LabelSmoother(epsilon=0.1)({"logits": logits}, labels, shift_labels=True)
        pairs.append((next_token_loss(logits, ids, real[:, 1:].double(), 0.1), theirs))
    return Measured.numbers(pairs)


def _distilled_of_torchmultimodal() -> Measured:
    from torchmultimodal.modules.losses.albef import CausalLanguageModelingLoss

    pairs = []
    for seed in range(200):
        logits, ids, real = _next_words(seed)
        logits_m, _, _ = _next_words(1000 + seed)
        theirs = CausalLanguageModelingLoss()(ids.masked_fill(~real, -100), logits, logits_m, ALPHA).sum()
        weights = real[:, 1:].double()
        ours = next_token_loss(logits, ids, weights, soft=SoftTargets(logits_m, ALPHA)) * weights.sum()
        pairs.append((ours, theirs))
    return Measured.numbers(pairs)


def _masked_words_of_transformers() -> Measured:
    """Logits of ``MLMHead`` at the hidden places and their mean loss, beside ``BertForMaskedLM``."""
    import transformers as hf

    from bus_toolkit.heads.mlm import MLMHead
    from bus_toolkit.structures import FusedTokens
    from tests.tiny_model import LETTERS
    from tests.weights.sources import BERT, randomised

    vocabulary, width = BERT["vocab_size"], BERT["hidden_size"]
    model = randomised(hf.BertForMaskedLM(hf.BertConfig(**BERT, layer_norm_eps=1e-5)))  # the epsilon of torch
    head = MLMHead(text_dim=width, vocabulary=replace(LETTERS, size=vocabulary))
    their_head = model.cls.predictions
    head.transform[0].load_state_dict(their_head.transform.dense.state_dict())
    head.transform[2].load_state_dict(their_head.transform.LayerNorm.state_dict())
    head.vocabulary.load_state_dict({"weight": their_head.decoder.weight, "bias": their_head.bias})
    pairs = []
    for seed in range(20):
        draw = torch.Generator().manual_seed(seed)
        ids = torch.randint(1, vocabulary, (4, 9), generator=draw)
        places = torch.rand(4, 9, generator=draw).argsort(dim=1)[:, :3]
        labels = torch.full_like(ids, -100).scatter(1, places, ids.gather(1, places))
        with torch.no_grad():
            theirs = model(ids, labels=labels)
            states = model.bert(ids).last_hidden_state
            ours = head.logits(FusedTokens(states, states, torch.ones_like(ids, dtype=torch.bool)), places)
        pairs.append((ours, theirs.logits.gather(1, places[..., None].expand(-1, -1, vocabulary))))
        pairs.append((F.cross_entropy(ours.flatten(0, 1), ids.gather(1, places).flatten()), theirs.loss))
    return Measured.numbers(pairs)


COMPARISONS = (
    Comparison("contrast with queue and soft targets", "torchmultimodal-nightly", _contrast_of_torchmultimodal, 1e-12),
    Comparison("contrast with shared targets", "torch", _shared_targets_of_torch, 1e-12),
    Comparison("wrong pairs as ALBEF draws them, frequencies", "torch", lambda: _wrong_pairs(0.0), 0.005),
    Comparison("wrong pairs with BLIP's 1e-4, frequencies", "torch", lambda: _wrong_pairs(1e-4), 0.005),
    Comparison("next-word loss, smoothed", "transformers", _smoothed_of_transformers, 1e-6),
    Comparison("next-word loss with soft targets", "torchmultimodal-nightly", _distilled_of_torchmultimodal, 1e-9),
    Comparison("masked words: logits and loss", "transformers", _masked_words_of_transformers, 1e-5),
)
