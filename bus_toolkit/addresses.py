"""Names of local copies of what lies on servers."""

from __future__ import annotations

import hashlib
import re


def is_http(name: object) -> bool:
    """Return whether ``name`` is an http or https address."""
    return str(name).lower().startswith(("http://", "https://"))


def copy_name(address: str) -> str:
    """Return a file name for a copy of ``address``: its last part, after a digest of the whole, query included.

    So two runs whose files share a name never share a copy.
    """
    last = re.sub(r"[^A-Za-z0-9._-]", "_", address.split("?", 1)[0].rstrip("/").rsplit("/", 1)[-1])
    return f"{hashlib.sha256(address.encode()).hexdigest()[:12]}-{last}"
