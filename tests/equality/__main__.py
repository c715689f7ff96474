"""Print the table: ``python -m tests.equality [--steps 20] [--processes 1 2 4]``; some minutes."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import torch.distributed as dist

from bus_toolkit.engine import quiet_hosts
from tests.equality.cases import CASES, Case
from tests.equality.training import Trained, trained

DTYPES = {"float64": torch.float64, "float32": torch.float32}


def main() -> None:
    """Train all cases by each number of processes, and compare with one process without a wrapper."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--cases", nargs="+", default=[case.name for case in CASES], help="names of the table's rows")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    cases = [case for case in CASES if case.name in args.cases]
    quiet_hosts()
    torch.set_num_threads(1)
    if args.worker:
        _work(Path(args.worker), args.steps, cases)
        return
    with tempfile.TemporaryDirectory() as folder:
        expected = {(c.name, d): trained(c, "none", DTYPES[d], args.steps) for c in cases for d in DTYPES}
        print(f"Largest difference to one bare process, {args.steps} steps (torch {torch.__version__})\n")
        print("| training | processes | wrapper | losses, float64 | weights, float64 | losses, float32 |")
        print("| --- | --- | --- | --- | --- | --- |")
        for count in args.processes:
            found = _by_torchrun(count, Path(folder) / f"{count}.pt", args.steps, args.cases)
            for case in cases:
                for wrapper in ("ddp", "fsdp2"):
                    print(_line(case, count, wrapper, found, expected), flush=True)


def _by_torchrun(count: int, out: Path, steps: int, names: list[str]) -> dict[tuple[str, str, str], Trained]:
    words = ["--standalone", f"--nproc_per_node={count}", "-m", "tests.equality"]
    command = [sys.executable, "-m", "torch.distributed.run", *words, "--worker", str(out), "--steps", str(steps)]
    command += ["--cases", *names]
    subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""})
    return {key: Trained(*held) for key, held in torch.load(out, weights_only=False).items()}  # our own file


def _work(out: Path, steps: int, cases: list[Case]) -> None:
    dist.init_process_group("gloo")
    found = {
        (case.name, name, wrapper): tuple(trained(case, wrapper, dtype, steps))
        for case in cases
        for name, dtype in DTYPES.items()
        for wrapper in ("ddp", "fsdp2")
    }
    if dist.get_rank() == 0:
        torch.save(found, out)
    dist.destroy_process_group()


def _line(case: Case, count: int, wrapper: str, found: dict, expected: dict) -> str:
    def losses(dtype: str) -> float:
        pairs = zip(found[case.name, dtype, wrapper].losses, expected[case.name, dtype].losses, strict=True)
        return max(abs(one[name] - other[name]) for one, other in pairs for name in other)

    got, wanted = found[case.name, "float64", wrapper].state, expected[case.name, "float64"].state
    held = {name: value for name, value in wanted.items() if value.numel()}  # a queue may have no place
    weights = max(float((got[name].double() - value.double()).abs().max()) for name, value in held.items())
    values = f"{losses('float64'):.1e} | {weights:.1e} | {losses('float32'):.1e}"
    return f"| {case.name} | {count} | {wrapper} | {values} |"


if __name__ == "__main__":
    main()
