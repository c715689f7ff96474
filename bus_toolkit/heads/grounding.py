"""Visual grounding: find the box of the object that an expression means."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bus_toolkit.errors import ComponentError
from bus_toolkit.heads.base import HeadOutput, VLPHead
from bus_toolkit.heads.box_votes import vote
from bus_toolkit.losses.boxes import box_l1, giou_loss, iou
from bus_toolkit.ops.collective import mean_over_ranks
from bus_toolkit.ops.follow_plans import scatter_back
from bus_toolkit.ops.patch_grid import patch_centres, shares_of_box
from bus_toolkit.ops.precision import at_least_float32, at_least_float32_dtype
from bus_toolkit.ops.to_device import to_device
from bus_toolkit.step.step import Step
from bus_toolkit.structures import Boxes, Condition, VisualTokens

# Waves along an axis of the image, in half periods: the finest distinguishes neighbours of 16 patches.
_WAVES = (1, 2, 4, 8)
_NUM_PLACE = 2 * (1 + 2 * len(_WAVES))
# A distance of exp(-2) / (1 + exp(-2)) = 0.12 of the side: boxes start at about a quarter of it, not at the whole.
_SIDE_BIAS = -2.0


class Proposals(NamedTuple):
    """What the patches say: ``log_weights`` (B, N), a log softmax, and ``boxes`` (B, N, 4) in shares of the sides."""

    log_weights: Tensor
    boxes: Tensor


class GroundingHead(VLPHead):
    """Predict one box for each expression, on the dense patch grid whatever selectors and decoder left of it.

    1. The tokens before the decoder go back to their patches: a patch that was fused or merged takes the token it
       ended in, a dropped one a learned placeholder; each is given its position.
    2. The global token of the fused pair, a text that has read the image, queries the grid (feature-wise scale and
       shift, arXiv 1709.07871).
    3. Each patch gives a score, softmaxed over the grid, and the distances from its centre to the four sides (as FCOS
       does, arXiv 1904.01355, section 3.1; ours are shares of the image's sides, a sigmoid of what is computed). The
       patches vote (``heads/box_votes.py``): the predicted box is the mean, by their scores, of those that agree best.

    The loss is the cross-entropy of the scores against the share of the target that lies in each patch, plus L1 and
    GIoU (arXiv 1902.09630) of the box that each patch gives, weighted by the same shares: a patch of the target learns
    to predict the whole of it, the others are free. BUS's own head was not readable, mPLUG and mmpretrain write
    coordinates as words; this head is ours. Only rows with exactly one named box in view count: those of other data and
    those whose object was cropped away give no term.

    Predictions are ``pred_box`` (4,), corners in pixels of the model's input image, and ``pred_box_score``, the share
    of the softmax that agrees on it, in (0, 1].

    Args:
        embed_dim: Width of the visual tokens; filled in from the backbone.
        text_dim: Width of the fused tokens; filled in from the text encoder.
        patch_weight: Factor of the cross-entropy, 0 or more.
        l1_weight: Factor of L1, the sum over the four corner numbers, 0 or more; 4 in mmpretrain's own terms
            (mmpretrain/models/heads/grounding_head.py), 5 in DETR (arXiv 2005.12872).
        giou_weight: Factor of 1 - GIoU, 0 or more; 2 in both.
        weight: Factor of the loss in the sum.
        start_epoch: The loss joins in at this epoch.

    Raises:
        ValueError: A negative factor.
    """

    sees = Condition.CAPTION
    gives_answers = True
    needs_fusion = True
    needs_towers = True
    predicts = ("pred_box", "pred_box_score")

    def __init__(
        self,
        *,
        embed_dim: int,
        text_dim: int,
        patch_weight: float = 1.0,
        l1_weight: float = 4.0,
        giou_weight: float = 2.0,
        weight: float = 1.0,
        start_epoch: float = 0.0,
    ) -> None:
        super().__init__(weight=weight, start_epoch=start_epoch)
        if min(patch_weight, l1_weight, giou_weight) < 0:
            raise ValueError(
                "patch_weight, l1_weight and giou_weight: must be 0 or more, got "
                f"{patch_weight}, {l1_weight} and {giou_weight}."
            )
        self.patch_weight, self.l1_weight, self.giou_weight = patch_weight, l1_weight, giou_weight
        self.placeholder = nn.Parameter(torch.randn(embed_dim) * 0.02)
        self.patch_norm = nn.LayerNorm(embed_dim)
        self.patches = nn.Linear(embed_dim, text_dim)
        self.places = nn.Linear(_NUM_PLACE, text_dim, bias=False)
        self.query = nn.Sequential(nn.LayerNorm(text_dim), nn.Linear(text_dim, 2 * text_dim))
        self.trunk = nn.Sequential(nn.Linear(text_dim, text_dim), nn.GELU(), nn.Linear(text_dim, text_dim), nn.GELU())
        self.score = nn.Linear(text_dim, 1)
        self.sides = nn.Linear(text_dim, 4)
        nn.init.constant_(self.sides.bias, _SIDE_BIAS)

    def loss(self, step: Step) -> HeadOutput:
        """Return ``loss_grounding`` and the IoU of the predicted boxes; zero where no row has its one box."""
        visual = step.visual()
        proposals = self.propose(step, visual)
        targets, has_target = one_named_box(step.batch.boxes)
        wanted = shares_of_box(targets, visual.grid)
        # The proposal of each patch against the one box of its row: (B, N, 4) and (B, 1, 4) -> (B, N).
        l1, giou = (distance(proposals.boxes, targets.unsqueeze(1)) for distance in (box_l1, giou_loss))
        of_patches = self.l1_weight * l1 + self.giou_weight * giou - self.patch_weight * proposals.log_weights
        losses = (wanted * of_patches).sum(dim=1)
        counts = has_target.to(losses.dtype)
        voted, _ = vote(proposals.boxes.detach(), proposals.log_weights.detach().exp())
        overlap = mean_over_ranks(iou(voted, targets), counts)
        return HeadOutput({"grounding": mean_over_ranks(losses, counts)}, {"grounding_iou": overlap})

    def predict(self, step: Step) -> dict[str, Any]:
        """Return the box of each row in pixels, and how sure the patches are of it."""
        proposals = self.propose(step, step.visual())
        boxes, support = vote(proposals.boxes, proposals.log_weights.exp())
        return {
            "pred_box": boxes.clamp(0.0, 1.0) * _sides_of_image(step.batch.boxes),
            "pred_box_score": support.tolist(),
        }

    def propose(self, step: Step, visual: VisualTokens) -> Proposals:
        """Return what each patch says about the expressions of ``step``, float32 or float64."""
        grid = self.patches(self.patch_norm(self.dense_grid(visual)))
        centres = patch_centres(visual.grid, grid.device, at_least_float32_dtype(grid))
        keys = grid + self.places(place_features(centres).to(grid.dtype))
        pair = step.encoders.fuse(step.text, visual, first_only=True).cls
        # (B, 2 D) -> (B, 1, 2 D) -> two of (B, 1, D), the same for all patches of a row.
        scale, shift = self.query(pair).unsqueeze(1).chunk(2, dim=-1)
        features = self.trunk(keys * (1.0 + scale) + shift)
        distances = at_least_float32(self.sides(features)).sigmoid()
        boxes = torch.cat([centres - distances[..., :2], centres + distances[..., 2:]], dim=-1)
        return Proposals(at_least_float32(self.score(features).squeeze(-1)).log_softmax(dim=1), boxes)

    def dense_grid(self, visual: VisualTokens) -> Tensor:
        """Return the token of every patch (B, N, D), from the tokens before the decoder.

        Raises:
            ComponentError: Tokens of a decoder that do not bring along what it read.
        """
        tokens = visual if visual.undecoded is None else visual.undecoded
        origin = tokens.read_origin
        if origin is None:
            raise ComponentError(
                "GroundingHead: needs the token that each patch ended in, got visual tokens without origin and without "
                "undecoded tokens. Backbone tokens have an origin. Let VLPModel.encode run the decoder."
            )
        dense = scatter_back(tokens.embeds[:, tokens.num_prefix :], origin)
        return torch.where((origin < 0).unsqueeze(-1), self.placeholder.to(dense.dtype), dense)


def one_named_box(boxes: Boxes) -> tuple[Tensor, Tensor]:
    """Return the named box of each row in shares of the sides, (R, 4), and whether it is the only one, bool (R,)."""
    named = boxes.named & boxes.valid
    only = named.sum(dim=1) == 1
    # A product, not an index: no value has to reach the CPU.
    # All but the one named box are multiplied by 0, so the sum over boxes selects it: (B, boxes, 4) -> (B, 4).
    chosen = (at_least_float32(boxes.xyxy) * (named & only.unsqueeze(1)).unsqueeze(-1)).sum(dim=1)
    return chosen / _sides_of_image(boxes), only


def place_features(centres: Tensor) -> Tensor:
    """Return features that distinguish patches by their centres (N, 2) alone, (N, 18), in their dtype."""
    steps = to_device(torch.tensor(_WAVES, dtype=centres.dtype), centres.device) * math.pi
    # (N, 2, 1) * (waves,) -> (N, 2, waves) -> (N, 2 * waves)
    phases = (centres.unsqueeze(-1) * steps).flatten(1)
    return torch.cat([2.0 * centres - 1.0, phases.sin(), phases.cos()], dim=1)


def _sides_of_image(boxes: Boxes) -> Tensor:
    """Return width, height, width, height in pixels, (4,)."""
    height, width = boxes.size
    return to_device(torch.tensor([width, height, width, height], dtype=torch.float32), boxes.xyxy.device)
