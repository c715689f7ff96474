"""The bytes of a request: refused by their announced number before any is read, and not waited for without end."""

from __future__ import annotations

import io
import socket
import time
from email.message import Message
from http import HTTPStatus
from typing import Any

from typing_extensions import override

from bus_toolkit.app.refusals import RequestRefused
from bus_toolkit.limits import UPLOAD_BYTES

KIND = "application/octet-stream"


class DeadlineReader(io.RawIOBase):
    """What a connection sends, up to a moment: a client that sends a byte now and then gets no more time by it.

    Args:
        connection: Of the client.
        seconds: From now on, for all that is read.
    """

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        self._connection, self._end = connection, time.monotonic() + seconds

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: Any) -> int:
        """Read what is there into a buffer.

        Raises:
            TimeoutError: The moment has come.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request took too long")
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


def announced_bytes(headers: Message, extra: int) -> int:
    """Return how many bytes a question has, as its headers say.

    Args:
        headers: Of the request.
        extra: How many there may be above those of the largest image.

    Raises:
        RequestRefused: They do not say it, it is too much, or it is another kind of content.
    """
    if headers.get("Content-Type", "").partition(";")[0].strip().lower() != KIND:
        raise RequestRefused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Content-Type: must be {KIND}: a line of JSON, then an image."
        )
    given = headers.get_all("Content-Length", [])
    if len(given) != 1 or "Transfer-Encoding" in headers:
        raise RequestRefused(HTTPStatus.LENGTH_REQUIRED, "Content-Length: must be there once; pieces are not read.")
    text, most = given[0].strip(), UPLOAD_BYTES.value
    if not (text.isascii() and text.isdigit()):
        raise RequestRefused(HTTPStatus.BAD_REQUEST, "Content-Length: must be a number.")
    if len(text) > 18 or int(text) > most + extra:
        raise RequestRefused(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"The image is refused unread: a file may have {most:,} bytes. Make it smaller. {UPLOAD_BYTES.advice}",
        )
    return int(text)


def read_body(stream: Any, count: int) -> bytes:
    """Return ``count`` bytes of a stream.

    Raises:
        RequestRefused: They do not come, or not in time.
    """
    try:
        body = stream.read(count)
    except TimeoutError as error:
        raise RequestRefused(HTTPStatus.REQUEST_TIMEOUT, "The image did not arrive in time. Send it again.") from error
    if len(body) != count:
        raise RequestRefused(HTTPStatus.BAD_REQUEST, f"The image ended after {len(body)} of {count} bytes.")
    return bytes(body)
