"""Requests that are not answered, each with its HTTP status."""

from __future__ import annotations

from http import HTTPStatus

from bus_toolkit.errors import BusError


class RequestRefused(BusError):
    """A request that is refused.

    Args:
        status: Of the answer.
        text: What is wrong and what to do, for whoever asked.

    Attributes:
        status: The same.
    """

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status
