from __future__ import annotations

import pickle
import random

import numpy as np
import torch
from mmengine.structures import BaseDataElement

from bus_toolkit.data.datasets.own_generators import generators_in
from bus_toolkit.data.datasets.seeded_samples import SeededSamples
from bus_toolkit.data.samplers.numbered import Draw
from bus_toolkit.data.samplers.region_batch_sampler import RegionRow


class Drawn:
    def __init__(self):
        self.pipeline = ["load"]

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return index, random.random(), np.random.random(), torch.rand(()).item()


def states():
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()


def test_one_seed_gives_one_sample_from_all_three_generators():
    samples = SeededSamples(Drawn())
    one, other = samples[Draw(1, 5)], samples[Draw(1, 6)]
    assert samples.__getitems__([Draw(1, 6), Draw(1, 5)]) == [other, one]
    assert all(a != b for a, b in zip(one[1:], other[1:], strict=True))


def test_the_generators_of_the_process_stay_as_they_were():
    before = states()
    SeededSamples(Drawn()).__getitems__([Draw(0, 1), Draw(2, 3)])
    assert states() == before


def test_attributes_are_those_of_the_data_set():
    inner = Drawn()
    samples = SeededSamples(inner)
    samples.pipeline = ["load", "flip"]  # as mmpretrain's hook that changes recipes does
    assert inner.pipeline == samples.pipeline == ["load", "flip"]
    assert len(samples) == 3 and samples[2][0] == 2 and not hasattr(samples, "boxed_indices")


def test_a_copy_for_a_worker_is_the_same_data_set():
    samples = SeededSamples(Drawn())
    assert pickle.loads(pickle.dumps(samples))[Draw(1, 5)] == samples[Draw(1, 5)]


class Crop:
    """Keeps generators of every kind, seeded when it is made, as libraries of augmentations do."""

    def __init__(self):
        self.python, self.old = random.Random(0), np.random.RandomState(0)
        self.settings = {"numpy": np.random.default_rng(0), "torch": torch.Generator().manual_seed(0)}

    def __call__(self):
        drawn = torch.rand((), generator=self.settings["torch"]).item()
        return self.python.random(), self.old.rand(), self.settings["numpy"].random(), drawn


class WithOwn(Drawn):
    def __init__(self):
        self.pipeline = [Crop(), Crop()]
        self.data, self.itself = [random.Random(0)] * 65, self

    def __getitem__(self, index):
        return [number for transform in self.pipeline for number in transform()]


def test_generators_that_transforms_keep_are_seeded_for_each_sample():
    samples = SeededSamples(WithOwn())
    one, other = samples[Draw(1, 5)], samples[Draw(1, 6)]
    assert len({*one, *other}) == 16
    assert samples[Draw(1, 5)] == one == pickle.loads(pickle.dumps(samples))[Draw(1, 5)]
    samples.pipeline = [Crop(), Crop()]
    assert samples[Draw(1, 6)] == other


def test_generators_are_looked_for_among_attributes_and_not_in_data():
    owner = WithOwn()
    owner.module = random
    kinds = [type(generator).__name__ for generator in generators_in(owner)]
    assert sorted(kinds) == 4 * ["Generator"] + 2 * ["Random"] + 2 * ["RandomState"]


class Nameless:
    """Samples of which the second alone has an id."""

    def __len__(self):
        return 3

    def __getitem__(self, index):
        sample = BaseDataElement(metainfo={"image_id": 7} if index == 1 else {})
        return {"inputs": torch.zeros(1), "data_samples": sample}


def test_samples_without_an_image_id_know_their_row_in_every_epoch_and_on_every_rank():
    samples = SeededSamples(Nameless())
    draws = [[Draw(RegionRow(2), 5), Draw(1, 6)], [Draw(0, 7), Draw(2, 8)]]  # of two epochs, or of two ranks
    read = [item["data_samples"] for part in draws for item in samples.__getitems__(part)]
    assert [sample.get("data_row") for sample in read] == [2, None, 0, 2]
    assert type(read[0].data_row) is int
