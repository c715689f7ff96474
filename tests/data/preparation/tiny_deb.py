"""Small Debian packages, made by hand."""

from __future__ import annotations

import io
import tarfile


class link(str):  # noqa: N801  # reads as a word in the tables of tests
    """Target of a symbolic link."""


def ar(members):
    """Return an ar archive of (name, content) pairs."""
    out = b"!<arch>\n"
    for name, content in members:
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
        out += content + b"\n" * (len(content) % 2)
    return out


def deb(members, kind="xz"):
    """Return a package with these files: path to content or link."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=f"w:{kind}") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, link):
                info.type, info.linkname = tarfile.SYMTYPE, content
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    control = b"odd"  # An odd length: the next member starts after a filling byte.
    return ar([("debian-binary", b"2.0\n"), ("control.tar.xz", control), (f"data.tar.{kind}", file.getvalue())])
