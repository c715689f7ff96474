"""Random numbers that are a function of seed, purpose, step and row: the same for any number of ranks and any device.

Shapes: B rows, C numbers of a row.

Each row has a stream of its own, SplitMix64 (Steele et al., "Fast splittable pseudorandom number generators", 2014), of
which any number can be computed without those before it. So a rank computes the numbers of its own rows alone, where
they are needed, and no generator has a state. All arithmetic is that of int64, which wraps around alike everywhere.
"""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor

# The published constants, as the signed numbers that torch takes.
_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
_MIX_1 = 0xBF58476D1CE4E5B9 - (1 << 64)
_MIX_2 = 0x94D049BB133111EB - (1 << 64)
_BITS = 24  # of a float32 in [0, 1)


def row_noise(name: str, iteration: int, rows_B: Tensor, *shape: int, seed: int) -> Tensor:
    """Return uniform float32 numbers in [0, 1), (B, *shape).

    The numbers of a row are those of a longer ``shape`` cut off, as long as only the first size differs.

    Args:
        name: What they are for; different names give independent numbers, as different seeds do.
        iteration: Step of the training.
        rows_B: int64, 0 or more: the numbers of the rows among those of all ranks.
        *shape: Of what a row gets; none is a single number.
        seed: The same on all ranks.
    """
    places_C = torch.arange(math.prod(shape), device=rows_B.device)
    return noise_of_places(name, iteration, rows_B, places_C, seed=seed).view(rows_B.shape[0], *shape)


def noise_of_places(name: str, iteration: int, rows_B: Tensor, places_C: Tensor, *, seed: int) -> Tensor:
    """Return the same numbers at the given places of each row's stream, (B, C).

    Args:
        name: As for ``row_noise``.
        iteration: As for ``row_noise``.
        rows_B: As for ``row_noise``.
        places_C: int64, 0 or more.
        seed: As for ``row_noise``.
    """
    # Rows that follow each other start far apart: their number is mixed into the start of the stream.
    starts_B = _mixed(rows_B * _GOLDEN + _key(name, iteration, seed))
    states_BC = starts_B.unsqueeze(1) + (places_C + 1) * _GOLDEN
    # The upper bits of a float, which the last step of the mixing leaves as they are.
    return (_shifted(_stirred(states_BC), 64 - _BITS)).to(torch.float32).mul_(2.0**-_BITS)


def _key(name: str, iteration: int, seed: int) -> int:
    digest = hashlib.blake2b(f"{name}:{iteration}:{seed}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def _stirred(states: Tensor) -> Tensor:
    """Return states after the two multiplications of SplitMix64."""
    states = (states ^ _shifted(states, 30)).mul_(_MIX_1)
    return (states ^ _shifted(states, 27)).mul_(_MIX_2)


def _mixed(states: Tensor) -> Tensor:
    """Return the outputs of SplitMix64 for states, int64."""
    states = _stirred(states)
    return states ^ _shifted(states, 31)


def _shifted(numbers: Tensor, bits: int) -> Tensor:
    """Return ``numbers >> bits`` with zeros moving in, as for numbers without a sign."""
    return (numbers >> bits).bitwise_and_((1 << (64 - bits)) - 1)
