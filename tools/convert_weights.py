"""Convert a tower's weights between libraries: ``python tools/convert_weights.py SOURCE --to LAYOUT --out FILE``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bus_toolkit.cli.run import run_cli
from bus_toolkit.errors import ConfigError

CONSOLE = Console(highlight=False, soft_wrap=True, markup=False)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description="Rename the tensors of a vision or text tower from one library's names to another's. Only tensors "
        "are written, as safetensors; a config.json beside them is yours to give."
    )
    parser.add_argument("source", nargs="?", help="a .safetensors, .pth, .pt or .bin, or a folder of Hugging Face")
    parser.add_argument("--to", metavar="LAYOUT", help="mmpretrain, or a layout that --list names")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the .safetensors to write")
    parser.add_argument("--from", dest="layout", default="auto", metavar="LAYOUT", help="default: found by the names")
    parser.add_argument(
        "--prefix", default="", help="what stands in front of the names, where SOURCE has several towers"
    )
    parser.add_argument("--trust-checkpoint", action="store_true", help="unpickle everything; it can run any code")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write every name and what became of it")
    parser.add_argument("--list", action="store_true", help="show the layouts and exit")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, convert, write, show, exit."""
    args = parse_args(argv)
    if args.list:
        show_layouts()
        return
    check_flags(args)
    from bus_toolkit.weights.converting import convert, write_whole

    tensors, report = convert(
        args.source, args.to, source=args.layout, prefix=args.prefix, trusted=args.trust_checkpoint
    )
    write_whole(tensors, args.out)
    if args.report is not None:
        report.write(args.report)
    CONSOLE.print(report.summary())
    CONSOLE.print(str(args.out))


def check_flags(args: argparse.Namespace) -> None:
    """Refuse a command line that says too little, or a name that no safetensors file has.

    Raises:
        ConfigError: One of the two.
    """
    for flag, value in (("SOURCE", args.source), ("--to", args.to), ("--out", args.out)):
        if value is None:
            raise ConfigError(f"{flag}: is missing. Give SOURCE, --to and --out; or --list alone.")
    if args.out.suffix != ".safetensors":
        raise ConfigError(f"--out: must end in .safetensors, got {args.out}. Other formats are not written.")


def show_layouts() -> None:
    """Print the layouts, and what a model here needs for each."""
    from bus_toolkit.weights.table_files import layouts

    for name, layout in layouts().items():
        use = "loaded only" if layout.target == "vlp" else "converted both ways"
        CONSOLE.print(f"{name}: {layout.about} ({layout.target}, {use})")
        CONSOLE.print(f"    {layout.needs}")


if __name__ == "__main__":
    run_cli(main)
