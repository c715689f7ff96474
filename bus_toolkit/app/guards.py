"""Who may ask: this machine's own page, not a page of another site that is open in the same browser.

A server on the loopback address can be reached by every page that the browser shows. Three ways are closed:

- A name of the attacker that resolves to this machine (DNS rebinding) would make its page one of ours: only names of
  this machine and, as no such name can be one, IP addresses are served (``Host``).
- A page elsewhere can send forms: a question must come from our own page (``Origin``, ``Sec-Fetch-Site``) and carry
  the token that only pages of ours can read.
- It can show our pages and pictures in its own: ``HEADERS`` forbid that.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import socket
from email.message import Message
from http import HTTPStatus

from bus_toolkit.app.refusals import RequestRefused
from bus_toolkit.safe_text import one_line

TOKEN = "X-Bus-Token"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_HOST = re.compile(r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::\d{1,5})?")


def is_loopback(address: str) -> bool:
    """Return whether an address or a name is of this machine alone."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address.lower() == "localhost"


def check_host(headers: Message, address: str) -> None:
    """Refuse a request by a name that may be another site's.

    Args:
        headers: Of the request.
        address: That the server is bound to. The port is not compared: a tunnel has another one.

    Raises:
        RequestRefused: It has no such name, or several.
    """
    given = headers.get_all("Host", [])
    match = _HOST.fullmatch(given[0]) if len(given) == 1 else None
    if match is None:
        raise RequestRefused(HTTPStatus.BAD_REQUEST, "Host: must be there once, with a name or an address.")
    name = (match["six"] or match["name"]).lower()
    if is_loopback(name) or (not is_loopback(address) and _is_of_this_machine(name, address)):
        return
    raise RequestRefused(
        HTTPStatus.FORBIDDEN,
        f"Host: {one_line(name[:80])} is no name that this app is served by. Open the address that it printed.",
    )


def check_sender(headers: Message, token: str) -> None:
    """Refuse a question of another site's page.

    Raises:
        RequestRefused: It comes from there, or has no token.
    """
    origin, site = headers.get("Origin"), headers.get("Sec-Fetch-Site", "same-origin")
    ours = origin is None or origin.lower() == f"http://{headers['Host']}".lower()
    given = headers.get(TOKEN, "")
    # As bytes: compare_digest takes no text of other letters than ASCII.
    if ours and site == "same-origin" and hmac.compare_digest(given.encode("utf-8", "replace"), token.encode()):
        return
    raise RequestRefused(
        HTTPStatus.FORBIDDEN, "This question is of another page, or of an earlier start: load it again."
    )


def _is_of_this_machine(name: str, address: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name in (address.lower(), socket.gethostname().lower())
    return True
