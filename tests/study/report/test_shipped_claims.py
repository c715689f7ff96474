"""The aims of the studies that ship: each can be judged once its study has run."""

from __future__ import annotations

from pathlib import Path

import pytest

from bus_toolkit.study.jobs import all_jobs
from bus_toolkit.study.plan import WHOLE
from bus_toolkit.study.reading import merged_study, read_study
from bus_toolkit.study.report.claims import ClaimKind
from bus_toolkit.study.report.markers import filled, shown_on
from bus_toolkit.study.report.settings import read_settings

FOLDER = Path(__file__).parents[3] / "registry_configs/_studies_"
REPORTED = [path for path in sorted(FOLDER.glob("*.yaml")) if "report" in merged_study(path)]


@pytest.mark.parametrize("path", REPORTED, ids=lambda path: path.stem)
def test_every_claim_is_about_jobs_of_the_study(path: Path) -> None:
    study, settings = read_study(path), read_settings(path)
    jobs = {(job.key.task, job.key.arm, job.key.keep): job for job in all_jobs(study)}
    for claim in settings.claims:
        named = [arm for arm in (claim.arm, claim.other) if arm]
        if claim.kind is ClaimKind.TIME:
            named.append(settings.unpruned)
        for arm in named:
            ratios = {claim.keep, WHOLE} if arm == settings.unpruned else {claim.keep}
            assert any((claim.task, arm, keep) in jobs for keep in ratios), f"{claim.says}: no job of {arm}"
        if claim.is_under_other_text:
            assert jobs[claim.task, claim.arm, claim.keep].wrong_text, claim.says
    names = {arm.name for arm in study.arms}
    assert {settings.unpruned, *settings.baselines, *settings.arms} <= names
    assert {*settings.samples} <= {task.name for task in study.tasks}


@pytest.mark.parametrize("path", REPORTED, ids=lambda path: path.stem)
def test_its_pages_have_a_place_for_the_section_and_for_each_table(path: Path) -> None:
    settings = read_settings(path)
    blocks = {name: "Results." for name in ("", *(table.name for table in settings.tables))}
    shown = [name for page in settings.pages for name in shown_on(page, settings.name, blocks)]
    assert sorted(shown) == sorted(blocks)
    assert "-->\n\nResults.\n\n<!--" in filled(settings.pages[0], settings.name, blocks)
