"""Measure what large annotation files cost before the first batch."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

from bus_toolkit.cli.command import Command, add_debug_flag, positive_int
from bus_toolkit.cli.loading import load_openmmlab
from bus_toolkit.writing import writing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add sizes and folder."""
    parser.add_argument("--captions", type=positive_int, default=600_000, metavar="N", help="default 600,000")
    parser.add_argument("--workers", type=positive_int, default=2, metavar="N", help="of the loader (default 2)")
    parser.add_argument("--rows", type=positive_int, default=100_000, metavar="N", help="read (default 100,000)")
    parser.add_argument("--folder", metavar="DIR", help="where the files are made and removed again (0.7 GB a million)")
    parser.add_argument("--files", action="store_true", help="also without tables, as the files are: 1.5 KB a caption")
    add_debug_flag(parser)


def run(args: argparse.Namespace) -> None:
    """Make up files, convert, start and read; print a line each."""
    load_openmmlab()
    from bus_toolkit.analysis.benchmark.annotations import measure_start_up
    from bus_toolkit.analysis.benchmark.made_up_captions import write_captions

    with writing(args.folder or tempfile.gettempdir(), "--folder"):
        folder = Path(tempfile.mkdtemp(prefix="bus_toolkit_captions_", dir=args.folder))
    try:
        files = write_captions(folder, args.captions)
        tables, read = folder / "tables", {"workers": args.workers, "rows": args.rows}
        made = measure_start_up(files, tables, workers=1, rows=1)
        sizes = [sum(f.stat().st_size for f in folder.glob(p)) / 2**20 for p in ("*.json", "tables/*/*")]
        print(f"{args.captions:,} captions with boxes: files {sizes[0]:,.0f} MiB, tables {sizes[1]:,.0f} MiB")
        print(f"converting, once    {_times(made)}, {made.peak:,.0f} MiB at the peak")
        kinds = [(start, tables) for start in ("fork", "spawn")] + [("fork", None)] * args.files
        for start, where in kinds:
            got = measure_start_up(files, where, start=start, **read)
            name = f"{'files' if where is None else 'tables'}, {start}"
            print(
                f"{name:19} {_times(got)}, first batch {got.first:.1f} s later; "
                f"MiB: {got.peak:,.0f} at the peak, each worker {max(got.workers):,.0f} more after {args.rows:,} rows"
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _times(got: Any) -> str:
    return f"{got.built:8.1f} s ({got.core:.1f} s of a core)"


COMMAND = Command(
    "Measure start-up and memory of large annotation files.",
    add_arguments,
    run,
    "Captions, boxes and regions are made up, converted to tables once (table_dir of RegionCaptionDataset), and read "
    "in processes of their own through the workers of a data loader. Everything made is removed.",
)
