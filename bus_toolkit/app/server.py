"""The server of the app: Python's own, with bounds on what clients may take.

One page, one kind of question, no path of a client: so little needs no framework. tools/README.md says why not gradio.
"""

from __future__ import annotations

import errno
import logging
import secrets
import socket
import sys
import threading
from http.server import ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from typing_extensions import override

from bus_toolkit.app.desk import Desk
from bus_toolkit.app.handler import SECONDS, Handler
from bus_toolkit.app.page import page_files
from bus_toolkit.errors import ConfigError

MOST_CONNECTIONS = 16
"""At a time, each with an image of at most ``UPLOAD_BYTES`` in memory (our choice). A browser opens six."""
_WAIT = 0.5
_FULL = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\nRetry-After: 5\r\n\r\n"
_log = logging.getLogger(__name__)


class AppServer(ThreadingHTTPServer):
    """A bound address at which nothing is answered before ``serve``.

    Args:
        address: An IP address or a name of this machine.
        port: From 0 (any free one) to 65535.
        seconds: For a request to arrive, and for its answer to be taken.

    Attributes:
        address: The same.
        token: That questions carry; another one at each start.
        files: Of the page, by path.
        desk: What answers.

    Raises:
        ConfigError: The address cannot be bound.
    """

    daemon_threads = True  # the end waits for the question that is being answered, not for connections
    request_queue_size = 32
    desk: Desk

    def __init__(self, address: str, port: int, seconds: float = SECONDS) -> None:
        self.address, self.seconds = address, seconds
        self.token, self.files = secrets.token_urlsafe(24), page_files()
        self._free = threading.Semaphore(MOST_CONNECTIONS)
        try:
            found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
            self.address_family = found[0]
            super().__init__((address, port), Handler)
        except (OSError, UnicodeError) as error:
            raise ConfigError(_why(error, address, port)) from error

    @override
    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # HTTPServer would ask a name server for the name of the address

    @property
    def url(self) -> str:
        """What to open in a browser."""
        name = socket.gethostname() if self.address in ("0.0.0.0", "::", "") else self.address
        return f"http://{f'[{name}]' if ':' in name else name}:{self.server_address[1]}/"

    def serve(self, desk: Desk) -> None:
        """Answer until Ctrl-C, then end when the question that is being answered is."""
        self.desk = desk
        try:
            self.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            _log.info("Ending.")
        finally:
            self.server_close()
            desk.close()

    @override
    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread; with too many of them, refuse."""
        if not self._free.acquire(timeout=_WAIT):
            request.settimeout(_WAIT)
            try:
                request.sendall(_FULL)
            finally:
                self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._free.release()
            raise

    @override
    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what went wrong, unless the client has just gone."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            _log.error("A request could not be answered: %s", error, exc_info=True)


def _why(error: Exception, address: str, port: int) -> str:
    number = getattr(error, "errno", None)
    if number == errno.EADDRINUSE:
        return f"--port: {port} is in use on {address}. Give another one, or 0 for any that is free."
    if number == errno.EACCES:
        return f"--port: {port} may not be used by this user. Give one from 1024 on."
    return f"--address: cannot be {address}: {error}. Give an address or a name of this machine, such as 127.0.0.1."
