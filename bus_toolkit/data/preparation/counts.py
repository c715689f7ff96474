"""Published sizes of a data set, and the reaction when files hold another number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bus_toolkit.errors import DataError


@dataclass(frozen=True)
class Count:
    """How many of something there should be.

    Attributes:
        name: What is counted.
        expected: The published number.
        sure: Read by us in its source; another number is then an error. Otherwise it only causes a warning.
    """

    name: str
    expected: int
    sure: bool = True


def check_counts(
    dataset: str, expected: Sequence[Count], counted: Mapping[str, int], *, strict: bool = True
) -> list[str]:
    """Return a line for each count that differs; counts that were not made (a split that is absent) are passed over.

    Args:
        dataset: Name of the data set, for messages.
        expected: Published numbers.
        counted: What was counted.
        strict: Sure counts that differ are an error.

    Raises:
        DataError: A sure count differs.
    """
    warnings, wrong = [], []
    for count in expected:
        number = counted.get(count.name)
        if number is None or number == count.expected:
            continue
        if count.sure and strict:
            must = f"must be {count.expected:,}, got {number:,}"
            wrong.append(
                f"{dataset}: {count.name}: {must}. Fetch the file again, or allow another number with --any-count."
            )
        else:
            source = "published" if count.sure else "as it is quoted; its source was not readable to us"
            warnings.append(f"{dataset}: {count.name}: got {number:,} of {count.expected:,} ({source})")
    if wrong:
        raise DataError("\n".join(wrong))
    return warnings
