"""Check Visual Genome: ``python tools/prepare_data/visual_genome.py FOLDER``."""

from __future__ import annotations

from collections.abc import Sequence

from bus_toolkit.cli.run import run_cli


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, check, convert, say what was done."""
    from bus_toolkit.engine.quiet import quiet_hosts

    quiet_hosts()
    from bus_toolkit.cli.prepare import prepare_command
    from bus_toolkit.data.preparation.visual_genome import VISUAL_GENOME

    prepare_command(VISUAL_GENOME, argv)


if __name__ == "__main__":
    run_cli(main)
