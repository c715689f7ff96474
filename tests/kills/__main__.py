"""``python -m tests.kills --kills 50``: kill, resume, compare; exit code 1 if anything differs."""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

from tests.kills.comparing import differences
from tests.kills.killing import kill_until_done
from tests.kills.training import Setting

_SHOWN = 10


def main() -> int:
    """Kill trainings with 0 and with 2 workers until there were enough kills; print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="in all (default 50)")
    parser.add_argument("--kills-a-run", type=int, default=12, help="of one training at most (default 12)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("work_dirs/kills"), help="a folder that is not there yet")
    args = parser.parse_args()
    dice, begun, total, found = random.Random(args.seed), time.monotonic(), Counter[str](), 0
    args.out.mkdir(parents=True)
    settings = [Setting(workers, args.out.resolve() / "scenes") for workers in (0, 2)]
    for setting in settings:
        kill_until_done(reference := args.out.resolve() / f"unbroken_{setting.workers}", setting, 0, dice)
        print(f"unbroken, {setting.workers} workers: {reference}", flush=True)
    number = 0
    while total.total() < args.kills:
        setting, folder = settings[number % 2], args.out.resolve() / f"killed_{number}"
        kills = kill_until_done(
            folder, replace(setting, pause=0.1), min(args.kills_a_run, args.kills - total.total()), dice
        )
        different = differences(folder / "work", args.out / f"unbroken_{setting.workers}" / "work")
        total, found, number = total + kills, found + len(different), number + 1
        words = ", ".join(f"{count} {moment}" for moment, count in sorted(kills.items())) or "none"
        print(f"{setting.workers} workers, kills: {words}: {len(different) or 'no'} differences", flush=True)
        print("".join(f"  {line}\n" for line in different[:_SHOWN]), end="", flush=True)
    words = ", ".join(f"{count} while {moment}" for moment, count in sorted(total.items()))
    seconds = time.monotonic() - begun
    print(f"{total.total()} kills ({words}) of {number} trainings in {seconds:.0f} s: {found} differences")
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main())
