import random

import numpy as np
import torch

from bus_toolkit.draws import derived_seed, kept_generators, seed_cpu_generators


def drawn():
    return random.random(), np.random.random(), torch.rand(()).item()


def test_seeds_of_different_purposes_differ():
    seeds = {derived_seed(run, epoch, row) for run in range(4) for epoch in range(-1, 4) for row in range(50)}
    assert len(seeds) == 1000 and all(0 <= seed < 2**63 for seed in seeds)
    assert derived_seed(0) != derived_seed(0, 0)


def test_a_seed_repeats_the_numbers_of_all_three_generators():
    with kept_generators():
        seed_cpu_generators(7)
        first = drawn()
        seed_cpu_generators(7)
        assert drawn() == first
