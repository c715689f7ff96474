"""A server of files on this machine that gives an ETag and counts what is asked for."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

asked: list[str] = []


class Handler(SimpleHTTPRequestHandler):
    """Answer GET and HEAD; ``silent`` in the path refuses HEAD, ``cut`` breaks off."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def end_headers(self) -> None:
        file = Path(self.translate_path(self.path))
        if file.is_file():
            self.send_header("ETag", hashlib.sha256(file.read_bytes()).hexdigest())
        super().end_headers()

    def do_HEAD(self) -> None:
        asked.append(f"HEAD {self.path}")
        self.send_error(403) if "silent" in self.path else super().do_HEAD()

    def do_GET(self) -> None:
        asked.append(f"GET {self.path}")
        if "cut" in self.path:
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            self.wfile.write(b"x" * 100)
            return
        super().do_GET()


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve the files of ``folder``; gives the start of their addresses."""
    asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
