"""Check NLVR2: ``python tools/prepare_data/nlvr2.py FOLDER``."""

from __future__ import annotations

from collections.abc import Sequence

from bus_toolkit.cli.run import run_cli


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, check, convert, say what was done."""
    from bus_toolkit.engine.quiet import quiet_hosts

    quiet_hosts()
    from bus_toolkit.cli.prepare import prepare_command
    from bus_toolkit.data.preparation.nlvr2 import NLVR2

    prepare_command(NLVR2, argv)


if __name__ == "__main__":
    run_cli(main)
