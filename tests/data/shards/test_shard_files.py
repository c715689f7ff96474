import multiprocessing
import os
import pickle

import pytest

from bus_toolkit.data.shards.shard_files import ShardFiles
from bus_toolkit.data.shards.tar_index import Stamp
from bus_toolkit.errors import DataError


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / str(i) for i in range(5)]
    for i, path in enumerate(paths):
        path.write_bytes(bytes([i]) * 1000 + bytes(range(200)))
    stamps = []
    for path in paths:
        with open(path, "rb") as file:
            stamps.append(Stamp.of(file))
    return ShardFiles(paths, stamps, max_open=2)


def test_reads_bytes_of_many_files_with_few_open(files):
    opened = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        for shard in range(5):
            assert files.read(shard, 999, 3) == bytes([shard, 0, 1])
    assert len(os.listdir("/proc/self/fd")) - opened == 2


def read_much(files, outcomes):
    outcomes.put(all(files.read(s, 1000 + k, 5) == bytes(range(k, k + 5)) for k in range(190) for s in range(5)))


def test_processes_forked_with_open_files_do_not_disturb_each_other(files):
    files.read(0, 0, 1)
    context = multiprocessing.get_context("fork")
    outcomes = context.Queue()
    processes = [context.Process(target=read_much, args=(files, outcomes)) for _ in range(3)]
    for process in processes:
        process.start()
    read_much(files, outcomes)
    assert [outcomes.get(timeout=120) for _ in range(4)] == [True] * 4
    for process in processes:
        process.join()


def test_a_pickled_copy_opens_its_own(files):
    files.read(1, 0, 1)
    assert pickle.loads(pickle.dumps(files)).read(1, 0, 2) == b"\1\1"


def test_a_file_that_is_shorter_or_gone_is_an_os_error(files):
    with pytest.raises(OSError, match="got 200 of 500 bytes"):
        files.read(0, 1000, 500)
    files.paths[1].unlink()
    with pytest.raises(FileNotFoundError):
        files.read(1, 0, 1)


def test_a_file_that_changed_is_refused(files):
    os.utime(files.paths[3], ns=(0, 0))
    with pytest.raises(DataError, match="3: the shard has changed since it was indexed. Start the run again"):
        files.read(3, 0, 1)
