"""Random numbers that follow from what they are for: a seed of its own for each sample and each step.

Transforms and models draw from the global generators of Python, NumPy and torch. What they get depends on all that was
drawn before: on the number of workers, on validations in between, on where a run was resumed. So the generators are
seeded again for each sample that is read and for each step of a training.
"""

from __future__ import annotations

import hashlib
import random
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derived_seed(*numbers: int) -> int:
    """Return a seed in [0, 2^63) that follows from whole numbers in [-2^63, 2^63), e.g. (seed of a run, epoch, row)."""
    digest = hashlib.blake2b(struct.pack(f"<{len(numbers)}q", *numbers), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def seed_cpu_generators(seed: int) -> None:
    """Seed Python's, NumPy's and torch's global generators of the CPU.

    ``torch.manual_seed`` would seed those of all devices too, which takes a hundred times as long.

    Args:
        seed: In [0, 2^63); NumPy takes its lower 32 bits.
    """
    random.seed(seed)
    np.random.seed(seed & 0xFFFF_FFFF)
    torch.default_generator.manual_seed(seed)


@contextmanager
def kept_generators() -> Iterator[None]:
    """Leave Python's, NumPy's and torch's global generators of the CPU as they were before."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
