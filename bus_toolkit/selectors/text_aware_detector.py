"""The text-aware patch detector of COPA."""

from __future__ import annotations

from bus_toolkit.selectors.text_semantic import TextSemanticPatchSelector


class TextAwarePatchDetector(TextSemanticPatchSelector):
    """Detect the patches that the text speaks of (``TPD``); trained by patch-text alignment on few boxed images.

    COPA (arXiv 2308.03475, abstract) plugs it into the ViT and trains it, jointly with the other objectives, on patch
    labels from the boxes of 5 % of the images; no detector runs at inference. The formulas were not readable. Our
    reconstruction is that of ``TSPS`` (three linear layers on ``[x_i ; W_c t]``, sigmoid, the best patches, one token
    of the rest weighted by the score): BUS, by the same group, seems to differ by the decoder on top. So both share one
    implementation and their arguments. Train it with ``PatchTextHead``, ``box_fraction: 0.05`` and
    ``batch_sampler: {type: RegionBatchSampler}``.
    """
