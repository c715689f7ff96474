"""Count the bytes of a training step's collectives at any number of ranks, beside the closed form.

    python -m tests.ledger_at 4

Each case is a tiny model; a line for each collective: what rank 0 has counted, and what the form says. Exit code 1 if
one differs.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile

import torch
import torch.distributed as dist

from tests.models.test_communication import CASES, by_kind, ledger_of


def count(rank: int, ranks: int, meeting: str) -> None:
    """Run the cases on a rank, and print them on the first."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=ranks)
    differs = False
    for case in CASES:
        got, expected = by_kind(ledger_of(rank, case, ranks), ranks)
        differs |= got != expected
        for name in expected if rank == 0 else ():
            print(f"{case:<18}{name:<16}{got.get(name, 0):>10,}{expected[name]:>12,.0f}")
    dist.destroy_process_group()
    sys.exit(differs)


def main(ranks: int) -> int:
    """Start the ranks, and return 1 if one has counted something else than the form says."""
    with tempfile.NamedTemporaryFile() as meeting:
        address = f"file://{meeting.name}_ranks"
        context = multiprocessing.get_context("spawn")
        processes = [context.Process(target=count, args=(rank, ranks, address)) for rank in range(ranks)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
    return int(any(process.exitcode for process in processes))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
