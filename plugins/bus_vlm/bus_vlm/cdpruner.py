"""CDPruner: a determinantal point process, conditioned on the instruction, chooses what stays."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from bus_toolkit.selectors import BlockView, PatchSelector, check_widths
from bus_toolkit.structures import TextTokens
from bus_vlm.greedy import cosines, greedy_determinant, scores_of_order


class CDPrunerSelector(PatchSelector):
    """Keep tokens that are diverse and, by their relevance, matter to the instruction (``CDPruner``).

    arXiv 2506.10967; Theia-4869/CDPruner:llava/model/llava_arch.py. The kernel of two tokens is their relevances
    times the cosine of their projected features; greedy inference chooses the subset of the largest determinant.
    Relevance is the mean cosine with the instruction, its sign turned as in the code (less similar tokens count more
    there), brought to 0 ... 1 within the image.

    Ours: the instruction is the mean over its words as the language model reads them, which the projected features
    share a space with; the code takes CLIP's own image and text embeddings, which models without a CLIP text tower do
    not have (openvinotoolkit/openvino.genai:src/cpp/src/visual_language/cdpruner takes the language model's, too).
    The least and the most relevant token are those of each image, of the whole batch there. Without a text, and where
    all are equally relevant, relevance is 1. The scores say when a token was chosen. In ``reduce_tokens(model,
    projected=...)`` it acts where it is published. Goes into ``model.selectors``.

    """

    needs_text: ClassVar[bool] = True
    ranks: ClassVar[bool] = False

    def score(self, view: BlockView) -> Tensor:
        """Return 1 for the token that is chosen first, falling to 0 for those never chosen, (B, N).

        Raises:
            ValueError: Text and patches of unequal widths.
        """
        kernel = cosines(view.patches, view.patches)
        if view.text is not None:
            check_widths(view.patches.shape[2], view.text.embeds.shape[2])
            relevance = _relevance(view.patches, view.text)
            kernel = relevance.unsqueeze(2) * kernel * relevance.unsqueeze(1)
        order = greedy_determinant(kernel, self.num_kept(view))
        return scores_of_order(order, kernel.shape[1], kernel.dtype)

    def score_without_text(self, view: BlockView) -> Tensor:
        """Return the scores (B, N) by the patches alone."""
        return self.score(view)


@torch.no_grad()
def _relevance(patches: Tensor, text: TextTokens) -> Tensor:
    """Return the relevance (B, N), in (0, 1]."""
    likeness = cosines(patches, text.embeds)  # (B, N, L)
    words = text.attention_mask.unsqueeze(1).to(likeness.dtype)
    unlike = -(likeness * words).sum(dim=2) / words.sum(dim=2).clamp(min=1)
    least, most = unlike.amin(dim=1, keepdim=True), unlike.amax(dim=1, keepdim=True)
    # 1e-6 as in the code: the least relevant token is not quite ruled out.
    return torch.where(most > least, (unlike - least + 1e-6) / (most - least), 1.0)
