"""Two ranks give the losses and gradients of one process on the same global batch."""

from __future__ import annotations

import torch
import torch.distributed as dist

from bus_toolkit.heads import MLMHead, PrefixLMHead, PriorLMHead, SelfCriticalCaptionHead, VLPHead
from bus_toolkit.priors import SelectorScorePrior
from tests.conftest import TwoRanks
from tests.tiny import WIDTH, images
from tests.tiny_model import LETTERS, sample, tiny_heads, tiny_model, tiny_reference

# Conditioning, momentum, and texts of each image.
CASES = (("shared", True, 1), ("strict", False, 1), ("strict", False, 2), ("shared", True, 2))


def batch(ranks: slice, texts_per_image: int) -> tuple[torch.Tensor, list]:
    """Return what some of the ranks read of the global batch; images are dealt out in turn, each with its texts."""
    texts = ["abcd", "ef", "ghijk", "lmn", "opqrst", "u", "vw", "x"][: 6 if texts_per_image == 1 else 8]
    rows = [
        sample(text, row // texts_per_image, boxed=row in (0, 3, 5), references=[text])
        for row, text in enumerate(texts)
    ]
    by_image = [rows[start : start + texts_per_image] for start in range(0, len(rows), texts_per_image)]
    return images(len(by_image))[ranks], [row for own in by_image[ranks] for row in own]


def drawing_captions() -> SelfCriticalCaptionHead:
    """Return a head whose drawn texts, one number for each token, are those of one process."""
    sizes = {"embed_dim": WIDTH, "text_dim": WIDTH, "vocabulary": LETTERS}
    head = SelfCriticalCaptionHead(**sizes, search={"beam_size": 3, "max_length": 6}, candidates="sample")
    head.rewards = lambda captions, references, ended: [[float(text < "m") for text in texts] for texts in captions]
    return head


def losses_and_gradient(
    mode: str, momentum: bool, texts_per_image: int, ranks: slice
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    torch.manual_seed(0)
    heads: dict[str, VLPHead] = {
        "prefix_lm": PriorLMHead(reference=tiny_reference()),  # weights over the global batch
        "caption": drawing_captions(),
    }
    if momentum:
        words = MLMHead(text_dim=WIDTH, vocabulary=LETTERS, mask_prob=0.3, alpha=0.4)
        heads = {"mlm": words, "prefix_lm": PrefixLMHead(alpha=0.4)}
    model = tiny_model(
        mode,
        heads={**tiny_heads(queue_size=5 if momentum else 0), **heads},
        momentum={"decay": 0.9} if momentum else None,
        prior=SelectorScorePrior() if momentum else None,  # pairs of all ranks have its scores
    )
    if model.momentum is not None:
        for copied in model.momentum.copies.parameters():
            copied.mul_(0.5)
    losses = model.loss(*batch(ranks, texts_per_image))
    total, logged = model.parse_losses(losses)
    total.backward()
    gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    return {name: torch.as_tensor(value).detach() for name, value in logged.items()}, gradient


def results_of_rank(rank: int) -> list[tuple[dict[str, torch.Tensor], torch.Tensor]]:
    results = []
    for case in CASES:
        logged, gradient = losses_and_gradient(*case, slice(rank, None, 2))
        dist.all_reduce(gradient)  # what DDP does
        results.append((logged, gradient / 2))
    return results


def test_two_ranks_equal_one_process(two_ranks: TwoRanks) -> None:
    for (logged, gradient), case in zip(two_ranks(results_of_rank)[0], CASES, strict=True):
        expected, expected_gradient = losses_and_gradient(*case, slice(None))
        assert set(logged) == set(expected)
        for name in expected:
            torch.testing.assert_close(logged[name].float(), expected[name].float(), atol=1e-5, rtol=1e-5, msg=name)
        torch.testing.assert_close(gradient, expected_gradient, atol=1e-4, rtol=1e-3)
