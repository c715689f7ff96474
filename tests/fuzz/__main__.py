"""``python -m tests.fuzz``: many cases of each target, a table, and every input that shows a fault as a file."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.fuzz.sandbox import VERDICTS, case, run_cases
from tests.fuzz.targets import TARGETS

_HEAD = ("target", "cases", *VERDICTS, "slowest s", "peak MiB")
_ROW = "{:12}" + " {:>9}" * (len(_HEAD) - 1)


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=1000, help="of each target (default: 1000)")
    parser.add_argument("--first", type=int, default=0, help="number of the first case (default: 0)")
    parser.add_argument("--target", nargs="+", choices=sorted(TARGETS), default=sorted(TARGETS), metavar="NAME")
    parser.add_argument("--seed", default="0", help="other inputs (default: 0)")
    parser.add_argument("--out", type=Path, default=Path("build/fuzz"), help="folder of failing inputs")
    args = parser.parse_args()
    print(_ROW.format(*_HEAD), flush=True)
    faults = 0
    for name in args.target:
        with tempfile.TemporaryDirectory() as folder:
            tally = run_cases(TARGETS[name], range(args.first, args.first + args.cases), args.seed, folder)
        counts = (tally.verdicts[verdict] for verdict in VERDICTS)
        print(_ROW.format(name, args.cases, *counts, f"{tally.slowest:.2f}", tally.peak >> 20), flush=True)
        for kind, count in tally.kinds.most_common():
            number = tally.first[kind]
            file = args.out / f"{name}_{args.seed}_{number}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(case(TARGETS[name], args.seed, number))
            print(f"    {count} x {kind}\n        {file}", flush=True)
        faults += tally.faults
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
