"""One training of a study, in a process of its own: ``python -m bus_toolkit.cli.study_job FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

from bus_toolkit.cli.loading import load_openmmlab
from bus_toolkit.cli.run import run_cli


def main(argv: list[str] | None = None) -> None:
    """Run the job that is described in the folder that the command line names."""
    load_openmmlab()
    from bus_toolkit.study.work import run_order

    (folder,) = sys.argv[1:] if argv is None else argv
    run_order(Path(folder))


if __name__ == "__main__":
    run_cli(main)
