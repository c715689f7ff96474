"""Run all comparisons and write the table: ``python -m tests.parity [--out FILE] [--only WORD]``."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.parity import table
from tests.parity.cases import ALL


def main() -> int:
    """Return 1 if something differs that is not documented, or could not be compared."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="write the page there (else only print the rows)")
    parser.add_argument("--only", default="", help="only comparisons whose item or peer has this in it")
    args = parser.parse_args()
    rows = []
    for comparison in ALL:
        if args.only.lower() in f"{comparison.item} {comparison.peer}".lower():
            start = time.perf_counter()
            rows.append(table.compared(comparison))
            print(f"{time.perf_counter() - start:5.1f} s  {' | '.join(rows[-1].cells())}", flush=True)
    if args.out:
        args.out.write_text(table.page(rows), encoding="utf-8")
    return int(any(row.is_fault for row in rows))


if __name__ == "__main__":
    sys.exit(main())
