"""From a job to what is run: its whole config, the ratios and image sizes that were solved, and its costs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bus_toolkit.config import config_text, load_config
from bus_toolkit.config.files import plugins_of, read_chain
from bus_toolkit.config.overrides import parse_overrides
from bus_toolkit.errors import ConfigError
from bus_toolkit.registry import plain
from bus_toolkit.study import wrong_text
from bus_toolkit.study.counts import Counts
from bus_toolkit.study.job_key import JobKey
from bus_toolkit.study.jobs import Job
from bus_toolkit.study.matching import Cost, at_ratio, match_ratio
from bus_toolkit.study.plan import Match, Study, Training
from bus_toolkit.study.scene_folders import SceneFolders
from bus_toolkit.study.smaller_image import match_image

_WITH_DELETE = {"_delete_": True}


@dataclass(frozen=True)
class PlannedJob:
    """A job as it is run.

    Attributes:
        job: The job.
        config: The whole config of the run as YAML.
        fingerprint: A digest of what makes the job: config, seed, wrong text, and that of the job it starts from. The
            version of the code is not in it (our choice): a study goes on after a change that leaves its numbers alone.
        changes: What was solved, by YAML path.
        cost: What it costs.
    """

    job: Job
    config: str
    fingerprint: str
    changes: Mapping[str, Any]
    cost: Cost


class Planner:
    """Plans the jobs of a study; what jobs have in common is worked out once.

    Args:
        study: The study.
        jobs: Its jobs.
        out: Folder of its results, where costs are kept that were counted before.
    """

    def __init__(self, study: Study, jobs: Sequence[Job], out: Path) -> None:
        self.study, self.counts = study, Counts(out)
        self._jobs = {job.key: job for job in jobs}
        self._planned: dict[tuple[JobKey, bool], PlannedJob] = {}
        self._scene_folders = SceneFolders()

    def plan(self, job: Job) -> PlannedJob:
        """Plan a job.

        Raises:
            ConfigError: Anything wrong with its config.
            ComponentError: A part that refuses its arguments.
        """
        # Jobs that differ by the seed alone are the same to plan.
        like = replace(job.key, seed=0), job.wrong_text
        if like not in self._planned:
            self._planned[like] = self._planned_without_seed(job)
        plan = self._planned[like]
        start = self.plan(self._jobs[job.start]).fingerprint if job.start is not None else None
        made_of = json.dumps([plan.fingerprint, job.key.seed, start])
        return replace(plan, job=job, fingerprint=hashlib.sha256(made_of.encode()).hexdigest())

    def _planned_without_seed(self, job: Job) -> PlannedJob:
        overrides = self._overrides(job)
        path = job.training.config.format(system=job.arm.system)
        location = f"{job.key.task}, {job.key.arm}"
        config = load_config(path, overrides)
        target, changes = self._solve(job, plain(config.to_dict()), location)
        if changes:
            config = load_config(path, {**overrides, **changes})
        resolved = plain(config.to_dict())
        self._scene_folders.check(resolved, location)
        if job.wrong_text:
            wrong_text.check(resolved, location)
        if job.key.arm == self.study.reference and changes:
            target = self.counts.inference(resolved["model"])
        cost = Cost.of(resolved, self.counts, target)
        text = config_text(config)
        fingerprint = hashlib.sha256(json.dumps([text, job.wrong_text]).encode()).hexdigest()
        return PlannedJob(job, text, fingerprint, changes, cost)

    def _solve(self, job: Job, config: dict[str, Any], location: str) -> tuple[int | None, dict[str, Any]]:
        """Return the target, that of the reference arm excepted, and the changes by which a job meets it."""
        if job.is_start or job.arm.match is Match.NONE:
            return None, {}
        keep, model = job.key.keep, config["model"]
        reference = self.study.reference
        if reference is None:
            raise ConfigError(f"reference: arms with a ratio cost what this arm costs, got none ({location}).")
        if job.key.arm == reference:
            return None, at_ratio(model, keep, location)  # its own cost is the target
        arm = self.study.arm(reference)
        key = replace(job.key, arm=reference)
        target = self.plan(replace(job, key=key, arm=arm, start=None, wrong_text=False)).cost.inference
        if job.arm.match is Match.IMAGE:
            return target, match_image(config, target, self.counts, location)
        return target, match_ratio(model, target, self.counts, location)

    def _overrides(self, job: Job) -> dict[str, Any]:
        path = job.training.config.format(system=job.arm.system)
        overrides: dict[str, Any] = {}
        if self.study.plugins:
            own = plugins_of(list(read_chain(path)), path)
            overrides["plugins"] = list(dict.fromkeys([*own, *self.study.plugins]))
        if job.arm.model:
            overrides["model"] = dict(job.arm.model)
        if job.arm.selectors is not None:
            overrides["model.selectors"] = [dict(selector) for selector in job.arm.selectors]
        if job.steps is not None:
            overrides |= _course(job.training, job.steps)
        for words in (job.training.overrides, job.arm.overrides):
            overrides |= dict(parse_overrides(words))
        return overrides


def _course(training: Training, steps: int) -> dict[str, Any]:
    """Return the settings of a training of so many steps that is validated for its curve and costs nothing else."""
    hook = {
        "type": "AtomicCheckpointHook",
        "by_epoch": False,
        "interval": -1,  # the last one only
        "save_optimizer": False,
        "save_param_scheduler": False,
    }
    course: dict[str, Any] = {
        "train_cfg": {
            **_WITH_DELETE,
            "type": "IterBasedTrainLoop",
            "max_iters": steps,
            "val_interval": training.every or steps,
        },
        "default_hooks.checkpoint": {**_WITH_DELETE, **hook},
        "default_hooks.report": None,
    }
    if training.samples is not None:
        sampler = {"type": "EvenlySpacedSampler", "num_samples": training.samples}
        course["val_dataloader.sampler"] = {**_WITH_DELETE, **sampler}
    return course
