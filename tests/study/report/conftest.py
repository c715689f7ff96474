"""One small generated study, collected once."""

from __future__ import annotations

from pathlib import Path

import pytest

from bus_toolkit.study.report.collect import collect_runs
from bus_toolkit.study.report.panels import Panel, make_panels
from bus_toolkit.study.report.runs import read_runs
from bus_toolkit.study.report.samples import read_verdicts
from bus_toolkit.study.report.settings import ReportSettings, read_settings
from tests.study.report.fake_study import write_study


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """YAML, folder of the runs, folder of the committed results."""
    folder = tmp_path_factory.mktemp("study")
    file, out = write_study(folder, seeds=(0, 1))
    collect_runs(out, folder / "results" / "needles")
    return file, out, folder / "results" / "needles"


@pytest.fixture(scope="session")
def settings(study: tuple[Path, Path, Path]) -> ReportSettings:
    return read_settings(study[0])


@pytest.fixture(scope="session")
def panels(study: tuple[Path, Path, Path], settings: ReportSettings) -> list[Panel]:
    results = study[2]
    return make_panels(read_runs(results), read_verdicts(results), settings, draws=500)
