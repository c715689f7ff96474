"""The rows of a batch by the heads that they serve, and the mean of a head's losses over its rows.

A data sample may say by ``objectives`` which heads its row serves (``MixedSources`` writes it there); without the field
a row serves all. Rows with the same objectives are one group and pass through the model together, other groups
apart from them: a head sees the groups that name it, so that no other row has any part in its loss or gradient. Groups
come in the order of their first rows, which ``MixedBatchSampler`` makes the same on all ranks.

Contrast is therefore between rows of one group (of all ranks), and matching draws its hard negatives there: sources
with the same objectives are negatives of each other, others only through the queue of ``ITCHead``, which takes the
momentum features of all groups that it runs on. The groups draw the same random numbers, so that a group's losses
are what they would be if it were the whole batch.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bus_toolkit.errors import ConfigError, DataError
from bus_toolkit.heads.base import HeadOutput
from bus_toolkit.ops.to_device import to_device
from bus_toolkit.signatures import did_you_mean


class SourceGroup(NamedTuple):
    """Rows of a batch that serve the same heads.

    Attributes:
        objectives: Names of the heads; ``None`` for all.
        images: Their images, (R, 3, H, W) or (R, I, 3, H, W).
        samples: Their R data samples.
    """

    objectives: frozenset[str] | None
    images: Tensor
    samples: Sequence[Any]

    def serves(self, head: str) -> bool:
        """Return whether the rows serve a head."""
        return self.objectives is None or head in self.objectives


def split_by_objectives(
    images: Tensor, samples: Sequence[Any], heads: Collection[str], path: str = "model.heads"
) -> list[SourceGroup]:
    """Return the groups of a batch; a batch with one group comes back as it is.

    Args:
        images: (B, ...), in the order of the samples.
        samples: Data samples, with or without ``objectives``; several an image are next to each other.
        heads: Names of the model's heads, each of which must be served.
        path: Where these are in a config, for messages.

    Raises:
        ConfigError: A sample names a head that there is not, or no sample serves a head.
        DataError: A group of ``region_only`` rows alone, or texts of one image with different objectives.
    """
    texts = len(samples) // max(1, len(images))
    rows: dict[frozenset[str] | None, list[int]] = {}
    for row, sample in enumerate(samples):
        objectives = sample.get("objectives")
        rows.setdefault(None if objectives is None else frozenset(objectives), []).append(row)
    if len(rows) < 2:
        groups = [SourceGroup(next(iter(rows), None), images, samples)]
    else:
        groups = [
            SourceGroup(objectives, _pick(images, _images_of(numbers, texts)), [samples[row] for row in numbers])
            for objectives, numbers in rows.items()
        ]
    if any(group.objectives is not None for group in groups):
        _check(groups, heads, path)
    return groups


def mean_over_groups(outputs: Sequence[HeadOutput], counts: Sequence[int]) -> HeadOutput:
    """Return the mean of what a head returned for each of its groups, weighted by their numbers of rows.

    It equals the loss over all rows together where that is a mean over rows. Where it is a mean over words (masked
    words, the rest of a caption) or over images with boxes, those of a group count as much as its rows do.

    Args:
        outputs: Losses and figures of each group; at least one, with the same keys.
        counts: Its rows on this rank.
    """
    if len(outputs) == 1:
        return outputs[0]
    # By the rows of this rank, as the mean over rows that the groups were split from.
    shares = [count / sum(counts) for count in counts]
    return HeadOutput(
        _weighted_sum([output.losses for output in outputs], shares),
        _weighted_sum([output.logs for output in outputs], shares),
    )


def _weighted_sum(values: Sequence[Mapping[str, Tensor]], shares: Sequence[float]) -> dict[str, Tensor]:
    return {
        key: sum(one[key] * share for one, share in zip(values, shares, strict=True))  # type: ignore[misc]
        for key in values[0]
    }


def _images_of(rows: list[int], texts: int) -> list[int]:
    """Return the images of ascending rows, each once, where an image has so many ``texts``."""
    numbers = [row // texts for row in rows]
    images = numbers[::texts]
    if numbers != [image for image in images for _ in range(texts)]:
        raise DataError(
            f"objectives: must be the same for all {texts} texts of an image, got an image with several. Let each "
            "source of MixedSources be a data set of type TextsOfImage."
        )
    return images


def _pick(images: Tensor, rows: list[int]) -> Tensor:
    """Return the images at ascending ``rows``; neighbours without a copy."""
    # Ascending rows without a gap: a slice is a view, an index would copy the images.
    if rows[-1] - rows[0] + 1 == len(rows):
        return images[rows[0] : rows[-1] + 1]
    return images[to_device(torch.tensor(rows), images.device)]


def _check(groups: Sequence[SourceGroup], heads: Collection[str], path: str) -> None:
    kind = path.rpartition(".")[2].removesuffix("s")
    named = {name: group for group in groups for name in sorted(group.objectives or ())}
    problems = [
        f"{_source(group)}.objectives: no {kind} is named {name!r}.{did_you_mean(name, heads)} "
        f"{path} has {', '.join(heads)}."
        for name, group in named.items()
        if name not in heads
    ]
    problems += [
        f"{path}.{head}: no row of the batch serves it, got rows for {', '.join(sorted(named))}. Add it to a "
        "source's objectives, or leave it out of the model. If a source has it, the batch holds none of its rows: set "
        "train_dataloader.batch_sampler.type to MixedBatchSampler."
        for head in heads
        if not any(group.serves(head) for group in groups)
    ]
    if problems:
        raise ConfigError(problems)
    for group in groups:
        if all(sample.get("region_only", False) for sample in group.samples):
            raise DataError(
                f"{_source(group)}: {len(group.samples)} region_only rows in a batch without a caption row of the same "
                "objectives. Use MixedBatchSampler instead of RegionBatchSampler, with boxed_only: true for the source."
            )


def _source(group: SourceGroup) -> str:
    return f"train_dataloader.dataset.sources.{group.samples[0].get('source', '<name>')}"
