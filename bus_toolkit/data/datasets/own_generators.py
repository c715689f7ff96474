"""Generators of random numbers that a data set or its transforms keep for themselves.

A worker begins with a copy of the data set: a generator that was seeded when it was made would draw the same numbers in
every worker and every epoch, and again after a resume.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Mapping
from types import FunctionType, ModuleType, NoneType
from typing import Any

import numpy as np
import torch

from bus_toolkit.draws import derived_seed

Generator = random.Random | np.random.Generator | np.random.RandomState | torch.Generator
_KINDS = (random.Random, np.random.Generator, np.random.RandomState, torch.Generator)
_OTHERS = (str, bytes, int, float, complex, NoneType, type, FunctionType, ModuleType, np.ndarray, torch.Tensor)
_LARGEST, _MOST = 64, 2000  # items of a list that is looked into, and objects that are looked at


def generators_in(root: Any) -> list[Generator]:
    """Return the generators among the attributes of an object, of what these hold, and so on.

    Lists and mappings of more than 64 items are data, and not looked into.
    """
    generators: list[Generator] = []
    seen, queue = {id(root)}, deque([root])
    while queue and len(seen) < _MOST:
        for held in _held_by(queue.popleft()):
            if id(held) in seen or isinstance(held, _OTHERS):
                continue
            seen.add(id(held))
            if isinstance(held, _KINDS):
                generators.append(held)
            else:
                queue.append(held)
    return generators


def reseed(generators: Iterable[Generator], seed: int) -> None:
    """Seed generators, each differently."""
    for number, generator in enumerate(generators):
        own = derived_seed(seed, number)
        if isinstance(generator, np.random.Generator):
            bits = generator.bit_generator
            bits.state = type(bits)(own).state
        elif isinstance(generator, torch.Generator):
            generator.manual_seed(own)
        else:
            generator.seed(own & 0xFFFF_FFFF)


def _held_by(owner: Any) -> Iterable[Any]:
    if isinstance(owner, Mapping):
        return owner.values() if len(owner) <= _LARGEST else ()
    if isinstance(owner, list | tuple):
        return owner if len(owner) <= _LARGEST else ()
    return list(getattr(owner, "__dict__", {}).values())
