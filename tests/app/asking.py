"""A server in a thread, and clients that may send anything."""

from __future__ import annotations

import io
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image

from bus_toolkit.app import AppServer, Desk


@contextmanager
def served(server: AppServer, desk: Desk) -> Iterator[AppServer]:
    """Answer in a thread while the block runs."""
    thread = threading.Thread(target=server.serve, args=[desk])
    thread.start()
    try:
        yield server
    finally:
        desk.close = lambda seconds=0.0: None  # the next server of a test asks the same desk
        server.shutdown()
        thread.join()
        del desk.close


def png(side: int = 40) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (side, side, 3), dtype=np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def body(image: bytes = b"", **fields) -> bytes:
    return json.dumps(fields).encode() + b"\n" + image


def head(server: AppServer, line: str = "POST /ask HTTP/1.1", **other: str | None) -> bytes:
    """Return the head of a request as the page sends it, but for ``other`` headers (``_`` for ``-``; None: without)."""
    headers = {
        "Host": f"127.0.0.1:{server.server_address[1]}",
        "Content-Type": "application/octet-stream",
        "X-Bus-Token": server.token,
    }
    headers |= {name.replace("_", "-"): value for name, value in other.items()}
    lines = [line, *(f"{name}: {value}" for name, value in headers.items() if value is not None)]
    return "\r\n".join([*lines, "", ""]).encode()


def talk(server: AppServer, *sent: bytes, seconds: float = 60.0) -> tuple[int, dict[str, str], bytes]:
    """Send pieces, as far as they are taken, and return status, headers and content of the answer."""
    with socket.create_connection(("127.0.0.1", server.server_address[1]), timeout=seconds) as connection:
        try:
            for piece in sent:
                connection.sendall(piece)
        except OSError:
            pass
        received = b""
        while piece := connection.recv(1 << 16):
            received += piece
    top, _, content = received.partition(b"\r\n\r\n")
    first, *lines = top.decode("latin-1").split("\r\n")
    return int(first.split()[1]), dict(line.split(": ", 1) for line in lines), content


def ask(server: AppServer, image: bytes = b"", **fields) -> tuple[int, dict]:
    """Return the status and the JSON of the answer to a question."""
    asked = body(image, **fields)
    status, _, content = talk(server, head(server, Content_Length=str(len(asked))), asked)
    return status, json.loads(content)
