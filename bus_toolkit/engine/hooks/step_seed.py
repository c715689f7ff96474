"""Random numbers of a step that depend on the seed, the rank and the step alone."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from bus_toolkit.data.datasets.own_generators import Generator, reseed
from bus_toolkit.draws import derived_seed
from bus_toolkit.engine.hooks.model_state import unwrap
from bus_toolkit.models.vlp import VLPModel


class StepSeedHook(Hook):
    """Seed Python's, NumPy's and torch's generators before each training step, on every rank differently.

    Dropout masks differ between ranks, and a resumed run draws what it would have drawn: not what came before, such as
    a validation, but seed, rank and step decide. Every training by ``bus_toolkit`` has this hook. Noise that is to be
    the same for any number of ranks (``Batch.noise``) gets the run's seed as ``model.noise_seed``.
    """

    priority = "VERY_HIGH"

    def __init__(self) -> None:
        self._generators: list[Generator] = []

    def before_train(self, runner: Runner) -> None:
        """Find the generators that modules of the model keep for themselves."""
        values = (value for module in unwrap(runner.model).modules() for value in vars(module).values())
        self._generators = [value for value in values if isinstance(value, Generator)]

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Sequence[Any] | None = None) -> None:
        """Seed the step."""
        model, run_seed = unwrap(runner.model), int(runner.seed)
        if isinstance(model, VLPModel):
            model.noise_seed = run_seed
        seed = derived_seed(run_seed, runner.rank, runner.iter)
        random.seed(seed)
        np.random.seed(seed & 0xFFFF_FFFF)
        torch.manual_seed(seed)  # of all devices
        reseed(self._generators, seed)
