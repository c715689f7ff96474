"""Convert a tower's weights between the names of libraries."""

from __future__ import annotations

import argparse
from pathlib import Path

from bus_toolkit.cli.command import Command, add_debug_flag
from bus_toolkit.errors import ConfigError
from bus_toolkit.writing import writing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add source, layouts and target."""
    parser.add_argument("source", nargs="?", help="a .safetensors, .pth, .pt or .bin, or a folder of Hugging Face")
    parser.add_argument("--to", metavar="LAYOUT", help="mmpretrain, or a layout that --list names")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the .safetensors to write")
    parser.add_argument("--from", dest="layout", default="auto", metavar="LAYOUT", help="default: seen by the names")
    parser.add_argument("--prefix", default="", help="first part of the names to read, if SOURCE has several towers")
    parser.add_argument("--trust-checkpoint", action="store_true", help="unpickle everything; it can run any code")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write every name and what became of it")
    parser.add_argument("--list", action="store_true", help="show the layouts and exit")
    add_debug_flag(parser)


def run(args: argparse.Namespace) -> None:
    """Convert, write, show; or show the layouts."""
    if args.list:
        show_layouts()
        return
    check_flags(args)
    from bus_toolkit.weights.converting import convert, write_whole

    tensors, report = convert(
        args.source, args.to, source=args.layout, prefix=args.prefix, trusted=args.trust_checkpoint
    )
    write_whole(tensors, args.out, report.grid)
    if args.report is not None:
        with writing(args.report, "--report"):
            report.write(args.report)
    print(report.summary())
    print(args.out)


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
        print(f"{name}: {layout.about} ({layout.target}, {use})")
        print(f"    {layout.needs}")


COMMAND = Command(
    "Rename a tower's weights from one library's names to another's.",
    add_arguments,
    run,
    "Only tensors of a vision or text tower are written, as safetensors; you give a config.json beside them.",
)
