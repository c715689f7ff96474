"""One request: a file of the page, a small picture of the gallery, or a question."""

from __future__ import annotations

import io
import logging
import re
import time
from email.message import Message
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any

from typing_extensions import override

from bus_toolkit.app.body import DeadlineReader, announced_bytes, read_body
from bus_toolkit.app.guards import HEADERS, check_host, check_sender
from bus_toolkit.app.question import MOST_LINE_BYTES, parse_question
from bus_toolkit.app.refusals import RequestRefused
from bus_toolkit.errors import BusError
from bus_toolkit.json_text import dump_json
from bus_toolkit.safe_text import one_line

_log = logging.getLogger(__name__)
SECONDS = 30.0
"""For a request to arrive, and for its answer to be taken (our choice)."""
_DROP_SECONDS = 2.0
_SMALL = re.compile(r"/gallery/([0-9]{1,4})\.png")
_JSON = "application/json; charset=utf-8"


class Handler(BaseHTTPRequestHandler):
    """Answer one request and close the connection."""

    server: Any  # an AppServer; its module imports this one
    protocol_version = "HTTP/1.1"  # of 1.0 a client may not ask whether it should send its image
    headers: Message

    @override
    def setup(self) -> None:
        super().setup()
        self.rfile = io.BufferedReader(DeadlineReader(self.connection, self.server.seconds))

    @override
    def version_string(self) -> str:
        return "bus-toolkit"

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: what is refused has a line of its own."""

    @override
    def handle_expect_100(self) -> bool:
        return True  # the image is asked for when everything else is in order

    def do_GET(self) -> None:
        """Send a file of the page, what it asks for at its start, or a small picture."""
        self._answer(self._get)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        """Answer a question."""
        self._answer(self._post)

    def do_OTHER(self) -> None:
        """Refuse another method."""
        self._answer(self._other)

    do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_TRACE = do_CONNECT = do_OTHER

    def _get(self) -> tuple[str, bytes]:
        check_host(self.headers, self.server.address)
        path = self.path.partition("?")[0]
        if path in self.server.files:
            return self.server.files[path]
        if path == "/about.json":
            return _JSON, _json(self.server.desk.about() | {"token": self.server.token})
        match = _SMALL.fullmatch(path)
        if match is not None and int(match[1]) < len(self.server.desk.gallery):
            return "image/png", self.server.desk.gallery.small(int(match[1]))
        raise RequestRefused(HTTPStatus.NOT_FOUND, "There is nothing at this address. The page is at /.")

    def _post(self) -> tuple[str, bytes]:
        check_host(self.headers, self.server.address)
        check_sender(self.headers, self.server.token)
        if self.path != "/ask":
            raise RequestRefused(HTTPStatus.NOT_FOUND, "There is nothing at this address. Questions go to /ask.")
        count = announced_bytes(self.headers, MOST_LINE_BYTES + 1)
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(HTTPStatus.CONTINUE)
            self.end_headers()
        question = parse_question(read_body(self.rfile, count))
        return _JSON, _json(self.server.desk.ask(question))

    def _other(self) -> tuple[str, bytes]:
        raise RequestRefused(HTTPStatus.METHOD_NOT_ALLOWED, "Only GET, HEAD and POST are answered.")

    def _answer(self, find: Any) -> None:
        try:
            kind, content = find()
        except RequestRefused as error:
            _log.info("%s: refused (%d): %s", self.client_address[0], error.status, one_line(error)[:200])
            self._refuse(error.status, str(error))
        except BusError as error:
            self._refuse(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
        except Exception:
            _log.exception("A question could not be answered.")
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "The model could not answer; the terminal shows why.")
        else:
            self._send(HTTPStatus.OK, kind, content)

    def _refuse(self, status: HTTPStatus, text: str) -> None:
        self._send(status, _JSON, _json({"error": text}))
        self._drop_rest()

    @override
    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what is no HTTP, as the base class asks for."""
        self._refuse(HTTPStatus(code), "This is no request that a browser sends.")

    def _send(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        self.close_connection = True
        self.connection.settimeout(self.server.seconds)
        self.send_response(status)
        headers = {"Content-Type": kind, "Content-Length": str(len(content)), "Connection": "close"} | HEADERS
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = "GET, HEAD, POST"
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _drop_rest(self) -> None:
        """Read for a moment what is still sent, and drop it.

        A connection that is closed with bytes unread is reset, and the client may lose the answer.
        """
        end = time.monotonic() + min(_DROP_SECONDS, self.server.seconds)
        buffer = bytearray(1 << 16)
        try:
            self.connection.shutdown(1)  # no more from here
            while (left := end - time.monotonic()) > 0:
                self.connection.settimeout(left)
                if not self.connection.recv_into(buffer):
                    return
        except OSError:
            return


def _json(value: Any) -> bytes:
    return dump_json(value, allow_nan=False).encode("utf-8")
