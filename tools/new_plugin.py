"""Write a new plugin that installs and passes the kit: ``python tools/new_plugin.py NAME --kind selector``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from bus_toolkit.cli.run import run_cli


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Write a new plugin that installs and passes the conformance kit.")
    parser.add_argument("name", help="its name: of the distribution, the module and the entry point")
    parser.add_argument("--kind", default="selector", help="selector, decoder, backbone or head (default: selector)")
    parser.add_argument("--folder", default="plugins", help="where to put it (default: plugins)")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, write, exit."""
    args = parse_args(argv)
    from bus_toolkit.plugin.scaffold import new_plugin

    folder = new_plugin(args.name, args.kind, args.folder)
    print(f"Wrote {folder}. Next:")
    print(f"  pip install -e {folder}")
    print(f"  python tools/check_plugin.py {args.name}")
    print(f"  python -m pytest {folder}")


if __name__ == "__main__":
    run_cli(main)
