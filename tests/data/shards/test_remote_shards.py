"""Remote shards, from a server of the test's own."""

from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bus_toolkit.addresses import copy_name
from bus_toolkit.data.shards import remote_shards
from bus_toolkit.data.shards.remote_shards import fetch_shards
from bus_toolkit.data.shards.shard_dataset import ShardDataset
from bus_toolkit.errors import DataError
from tests.data.shards.tiny_shards import pairs, write_tar

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="webdataset fetches with curl")


class Quiet(SimpleHTTPRequestHandler):
    """Counts what is asked for, and breaks off in the middle of ``cut.tar``."""

    asked: list[str] = []  # noqa: RUF012 - the server makes a new handler for each request

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path == "/cut.tar":
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            self.wfile.write(b"x" * 100)
            return
        super().do_GET()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    pytest.importorskip("webdataset")
    (tmp_path / "served").mkdir()
    for number in range(2):
        write_tar(tmp_path / "served" / f"{number}.tar", pairs(range(3 * number, 3 * number + 3)))
    Quiet.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "served"))) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


@needs_curl
def test_shards_are_copied_once_and_read_like_local_ones(server: str, tmp_path: Path) -> None:
    cache = str(tmp_path / "cache")
    remote = ShardDataset(f"{server}/{{0..1}}.tar", cache_dir=cache)
    local = ShardDataset(str(tmp_path / "served" / "{0..1}.tar"))
    assert len(remote) == len(local) == 6
    for row in range(6):
        assert remote.get_data_info(row)["img_bytes"] == local.get_data_info(row)["img_bytes"]
        assert remote.get_data_info(row)["text"] == local.get_data_info(row)["text"]
    ShardDataset(f"{server}/{{0..1}}.tar", cache_dir=cache)
    assert sorted(Quiet.asked) == ["/0.tar", "/1.tar"]


@needs_curl
@pytest.mark.parametrize("name", ["cut.tar", "nothing.tar"])
def test_a_transfer_that_fails_leaves_nothing_behind(server: str, tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=f"train: {server}/{name} cannot be copied"):
        fetch_shards([f"{server}/0.tar", f"{server}/{name}"], str(tmp_path / "cache"), "train")
    assert [path.name.split("-", 1)[1] for path in (tmp_path / "cache").iterdir()] == ["0.tar"]


def test_a_folder_that_takes_no_file_is_reported_and_does_not_raise(tmp_path: Path) -> None:
    pytest.importorskip("webdataset")
    report = remote_shards._copy("https://server/0.tar", tmp_path / "gone" / "0.tar")
    assert (
        report == f"cache_dir {tmp_path / 'gone'} cannot be written: No such file or directory. Choose another folder."
    )


def test_paths_stay_as_they_are() -> None:
    assert fetch_shards(["a/{0..1}.tar", "b.tar"], None, "train") == ["a/{0..1}.tar", "b.tar"]


@pytest.mark.parametrize("address", ["pipe:rm -rf /", "file:///etc/passwd", "PIPE:ls", "hf://x/y.tar"])
def test_no_address_runs_a_command(address: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the scheme must be one of http, https"):
        fetch_shards(address, str(tmp_path), "train")


def test_a_folder_and_webdataset_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"https://server/0.tar lies on a server. Set cache_dir"):
        fetch_shards("https://server/0.tar", None, "train")
    monkeypatch.setitem(sys.modules, "webdataset", None)
    with pytest.raises(DataError, match="remote shards need webdataset"):
        fetch_shards("https://server/0.tar", "cache", "train")


def test_equal_names_of_different_servers_are_kept_apart() -> None:
    names = {copy_name(f"https://{server}/a/0.tar?key=1") for server in ("x", "y")}
    assert len(names) == 2 and all(name.endswith("-0.tar") for name in names)
