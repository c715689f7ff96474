"""The command that serves the page: its mistakes are one line each, and Ctrl-C ends it in order."""

import re
import signal
import socket
import threading

import pytest

from bus_toolkit.app import AppServer
from tests.inference.toy import TEXTS, photos, run_config, write_run


def test_the_page_is_served_until_ctrl_c(command_line, tmp_path, monkeypatch):
    run = write_run(tmp_path / "run", run_config(tmp_path / "scenes"))
    photos(tmp_path / "photos")
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS))
    seen = {}
    serve_forever = AppServer.serve_forever

    def interrupted(server, poll_interval):
        seen.update(server.desk.about(), port=server.server_address[1])
        threading.Timer(0.3, signal.raise_signal, [signal.SIGINT]).start()
        serve_forever(server, poll_interval)

    monkeypatch.setattr(AppServer, "serve_forever", interrupted)
    flags = ["--images", str(tmp_path / "photos"), "--texts-file", str(tmp_path / "texts.txt"), "--port", "0"]
    code, shown, errors = command_line("app", str(run), "--device", "cpu", "--address", "0.0.0.0", *flags)
    assert code == 0 and re.fullmatch(r"http://\S+:\d+/  \(Ctrl-C ends it\)\n", shown)
    assert "WARNING --address: everybody who reaches 0.0.0.0 may ask" in errors and "Traceback" not in errors
    assert seen["gallery"] == ["photo_0.png", "photo_1.png", "photo_2.png"] and seen["captions"] == list(TEXTS)
    assert seen["keep_ratios"] == [0.5, 0.25] and "answer" in seen["abilities"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", seen["port"]), timeout=5)


def test_mistakes_are_one_line_each(command_line, tmp_path):
    (tmp_path / "many.txt").write_text("a\n" * 201)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for words, why in [
            (["--port", port], f"--port: {port} is in use on 127.0.0.1."),
            (["--texts-file", str(tmp_path / "many.txt")], "--texts-file: the page compares at most 200, got 201."),
            (["--images", "no_such/*.png"], "--images: no image there"),
            (["--port", "0"], "there is neither a run folder nor a config"),
        ]:
            code, _, errors = command_line("app", str(tmp_path / "no_run"), *words)
            (line,) = [line for line in errors.splitlines() if line.startswith("error: ")]
            assert code == 2 and why in line


@pytest.mark.parametrize("port", ["-1", "65536", "http", "7_0"])
def test_what_is_no_port_is_refused(command_line, port):
    code, _, errors = command_line("app", "run", f"--port={port}")
    assert code == 2 and f"must be a number from 0 to 65535, got {port}" in errors
