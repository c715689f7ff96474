"""Workers that die or hang, in the processes of a real loader."""

import os
import signal
import time

import pytest
from torch.utils.data import DataLoader, Dataset

from bus_toolkit.engine.loader_faults import SECONDS, limit_waiting, worker_faults
from bus_toolkit.engine.loader_workers import own_workers
from bus_toolkit.errors import DataError


class Sends(Dataset):
    """Eight rows; the worker of the last one sends itself a signal, or sleeps."""

    def __init__(self, number=None):
        self.number = number

    def __len__(self):
        return 8

    def __getitem__(self, index):
        if index == 7:
            time.sleep(60) if self.number is None else os.kill(os.getpid(), self.number)
        return index


def read(number, **settings):
    # Lists: to take over a tensor, a process asks the worker for it, and may wait for a stopped one without limit.
    loader = DataLoader(Sends(number), num_workers=2, collate_fn=list, **settings)
    own_workers(loader)
    limit_waiting(loader)
    with worker_faults():
        return [row for (row,) in loader]


def test_a_killed_worker_is_one_error_with_what_to_look_at():
    with pytest.raises(DataError, match=r"^data loader: worker 1 \(pid \d+, SIGKILL\) died.*`dmesg`") as caught:
        read(signal.SIGKILL)
    assert "lower num_workers" in str(caught.value)


def test_a_full_shared_memory_is_a_hint_of_its_own():
    with pytest.raises(DataError, match=r"SIGBUS\) died, so batches are missing.*/dev/shm.*--shm-size"):
        read(signal.SIGBUS)


def no_room(rows):
    raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1_2_3>: No space left on device (28)")


def test_a_worker_that_survives_a_full_shared_memory_gives_the_same_hint():
    loader = DataLoader(range(8), num_workers=1, collate_fn=no_room)
    with pytest.raises(DataError, match="^data loader: a worker found no room for a batch.*/dev/shm.*--shm-size"):
        with worker_faults():
            next(iter(loader))


def test_a_stopped_worker_is_named_within_the_timeout():
    pattern = r"data loader: worker 1 of 2 \(pid \d+\), which is stopped .* gave no batch in 1 s.*`timeout: SECONDS`"
    with pytest.raises(DataError, match=pattern):
        read(signal.SIGSTOP, timeout=1)


def test_a_worker_that_hangs_is_named_within_the_timeout():
    with pytest.raises(DataError, match=r"worker 1 of 2 \(pid \d+\), which works or waits, gave no batch in 1 s"):
        read(None, timeout=1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_signals_that_stop_a_training_leave_its_workers_to_it(number):
    assert read(number) == list(range(8))


def test_there_is_a_limit_where_none_is_set():
    loader = DataLoader(Sends(), num_workers=2)
    limit_waiting(loader)
    assert loader.timeout == SECONDS
    loader = DataLoader(Sends(), num_workers=0, timeout=5)  # torch refuses to iterate over it
    limit_waiting(loader)
    assert loader.timeout == 0


@pytest.mark.slow
def test_the_end_of_a_worker_breaks_nothing_later():
    for _ in range(3):
        with pytest.raises(DataError, match="SIGKILL"):
            read(signal.SIGKILL)
        assert read(signal.SIGUSR1) == list(range(8))


def test_other_errors_stay_as_they_are():
    with pytest.raises(RuntimeError, match="^shape$"), worker_faults():
        raise RuntimeError("shape")
