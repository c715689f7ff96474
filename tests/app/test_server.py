"""What clients that mean no good are answered."""

import io
import json
import resource
import socket
import struct
import time
import zlib

import pytest

from bus_toolkit.app import AppServer
from bus_toolkit.app.server import MOST_CONNECTIONS
from bus_toolkit.errors import ConfigError
from tests.app.asking import ask, body, head, png, served, talk
from tests.inference.toy import TEXTS

GET = {"Content_Type": None, "X_Bus_Token": None}


def get(server, path, **headers):
    return talk(server, head(server, f"GET {path} HTTP/1.1", **GET, **headers))


def bomb(side):
    """A PNG of few bytes whose header claims ``side`` x ``side`` pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    packed = zlib.compress(bytes(1 << 20))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def test_the_page_and_all_that_it_names_are_there_with_headers_that_close_it(server):
    kinds = {"/": "text/html", "/page.css": "text/css", "/page.js": "text/javascript", "/drawing.js": "text/javascript"}
    for path, kind in {**kinds, "/about.json": "application/json", "/gallery/0.png": "image/png"}.items():
        status, headers, content = get(server, path)
        assert status == 200 and headers["Content-Type"].startswith(kind) and content
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["X-Frame-Options"] == "DENY"
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
        assert "Python" not in headers["Server"]
    page = get(server, "/")[2].decode()
    assert "<script>" not in page and "style=" not in page and "http" not in page
    assert talk(server, head(server, "HEAD / HTTP/1.1", **GET))[::2] == (200, b"")


def test_a_question_is_answered(server):
    status, found = ask(server, png(), text=TEXTS[0], captions=list(TEXTS), keep_ratio=0.5)
    assert status == 200 and found["answer"] is not None and len(found["captions"]) == 3
    asked = body(png(), text=TEXTS[0])
    # As curl sends a large one: it waits for the word to go on.
    status, _, content = talk(server, head(server, Content_Length=str(len(asked)), Expect="100-continue"), asked)
    assert status == 100 and b"HTTP/1.1 200" in content


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (bomb(50_000), "refused before decoding"),
        (bomb(8_000), "refused before decoding: its header claims 8000 x 8000 pixels, max_pixels is 50000000"),
        (b"#!/bin/sh\nrm -rf /\n", "no header of JPEG, PNG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "no header of JPEG, PNG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no header of JPEG, PNG"),
        (png()[:200], "cannot be decoded"),
        (bomb(600), "cannot be decoded"),
    ],
    ids=["bomb", "smaller bomb", "script", "svg", "postscript", "truncated", "too little data"],
)
def test_what_is_no_picture_is_refused_in_a_sentence(server, image, why):
    status, found = ask(server, image, text="a")
    assert status == 422 and why in found["error"]
    assert found["error"].startswith("The image: ")
    assert ask(server, png(), text="a")[0] == 200  # and the next one is answered


def test_a_gigabyte_is_refused_unread(server):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for sent in [{"Content_Length": str(1 << 30)}, {"Content_Length": str(1 << 30), "Expect": "100-continue"}]:
        status, headers, content = talk(server, head(server, **sent), bytes(1 << 20))
        assert status == 413 and headers["Connection"] == "close"
        assert json.loads(content)["error"].startswith("The image is refused unread: a file may have 20,971,520 bytes.")
    status, _, content = talk(server, head(server, Transfer_Encoding="chunked"), b"10000000\r\n", bytes(1 << 20))
    assert status == 411 and b"pieces are not read" in content
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10  # KiB


@pytest.mark.parametrize(
    ("headers", "status", "why"),
    [
        ({"Host": "evil.example"}, 403, "evil.example is no name that this app is served by"),
        ({"Host": "127.0.0.1.evil.example:80"}, 403, "is no name"),
        ({"Host": "192.168.1.7"}, 403, "is no name"),
        ({"Host": "localhost\x1b[31m"}, 400, "Host: must be there once"),
        ({"Host": None}, 400, "Host: must be there once"),
        ({"Origin": "http://evil.example"}, 403, "of another page"),
        ({"Origin": "null"}, 403, "of another page"),
        ({"Sec_Fetch_Site": "cross-site"}, 403, "of another page"),
        ({"Sec_Fetch_Site": "same-site"}, 403, "of another page"),
        ({"X_Bus_Token": None}, 403, "of another page"),
        ({"X_Bus_Token": "gu\xe9ssed"}, 403, "of another page"),
        ({"Content_Type": "multipart/form-data; boundary=x"}, 415, "must be application/octet-stream"),
        ({"Content_Type": None}, 415, "must be application/octet-stream"),
        ({"Content_Length": None}, 411, "Content-Length: must be there once"),
        ({"Content_Length": "-1"}, 400, "Content-Length: must be a number"),
        ({"Content_Length": "9" * 400}, 413, "refused unread"),
        ({"Content_Length": "8\r\nContent-Length: 9"}, 411, "must be there once"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_request_that_the_page_does_not_send_is_refused(server, headers, status, why):
    asked = body(png(), text="a")
    got, _, content = talk(server, head(server, **{"Content_Length": str(len(asked)), **headers}), asked)
    assert got == status and why in json.loads(content)["error"]


@pytest.mark.parametrize("name", ["localhost:{port}", "LOCALHOST", "127.0.0.1", "[::1]:{port}", "localhost:9000"])
def test_names_of_this_machine_are_served(server, name):
    assert get(server, "/", Host=name.format(port=server.server_address[1]))[0] == 200


@pytest.mark.parametrize(
    "path",
    ["/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/page/../server.py", "//etc/passwd", "/gallery/9.png"]
    + ["/gallery/../0.png", "/gallery/٣.png".encode().decode("latin-1"), "http://evil.example/", "/page.css/", "/\x00"],
)
def test_no_path_of_a_client_is_opened(server, path):
    status, _, content = get(server, path)
    assert status in (400, 404) and b"root:" not in content and "error" in json.loads(content)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT"])
def test_other_methods_are_refused(server, method):
    status, headers, _ = talk(server, head(server, f"{method} /ask HTTP/1.1", Content_Length="0"))
    assert status == 405 and headers["Allow"] == "GET, HEAD, POST"


@pytest.mark.parametrize(
    "sent", [b"\x16\x03\x01\x02\x00\r\n\r\n", b"BREW / HTTP/1.1\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"]
)
def test_what_is_no_http_is_refused(server, sent):
    connection = socket.create_connection(("127.0.0.1", server.server_address[1]), timeout=30)
    with connection:
        connection.sendall(sent)
        assert b"no request that a browser sends" in connection.makefile("rb").read()


def test_an_image_that_ends_early_is_said(server):
    asked = body(png(), text="a")
    with socket.create_connection(("127.0.0.1", server.server_address[1]), timeout=30) as connection:
        connection.sendall(head(server, Content_Length=str(len(asked) + 9)) + asked)
        connection.shutdown(socket.SHUT_WR)
        assert f"ended after {len(asked)} of {len(asked) + 9} bytes".encode() in connection.makefile("rb").read()


def test_slow_clients_get_no_more_time_by_a_byte_now_and_then_and_the_others_wait_for_them(desk):
    with served(AppServer("127.0.0.1", 0, seconds=1.0), desk) as server:
        place = ("127.0.0.1", server.server_address[1])
        slow = [socket.create_connection(place, timeout=30) for _ in range(MOST_CONNECTIONS)]
        for connection in slow:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: ")
        time.sleep(0.6)
        slow[0].sendall(b"1")
        assert slow[0].recv(1) == b""  # ended, though a byte came meanwhile
        for connection in slow:
            connection.close()
        asked = head(server, Content_Length="1000")
        status, _, content = talk(server, asked, b"{}\nabc")
        assert status == 408 and b"did not arrive in time" in content


def test_too_many_connections_are_refused_and_then_answered(desk):
    with served(AppServer("127.0.0.1", 0, seconds=20.0), desk) as server:
        place = ("127.0.0.1", server.server_address[1])
        held = [socket.create_connection(place, timeout=30) for _ in range(MOST_CONNECTIONS)]
        try:
            assert talk(server)[0] == 503
        finally:
            for connection in held:
                connection.close()
        time.sleep(0.2)
        assert get(server, "/")[0] == 200


def test_a_fault_of_ours_shows_nothing_of_it(server, monkeypatch):
    def fail(question):
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(server.desk, "ask", fail)
    status, found = ask(server, png(), text="a")
    assert status == 500 and found["error"] == "The model could not answer; the terminal shows why."


def test_addresses_that_cannot_be_bound_are_one_line_each(server):
    port = server.server_address[1]
    with pytest.raises(ConfigError, match=f"^--port: {port} is in use on 127.0.0.1. Give another one, or 0"):
        AppServer("127.0.0.1", port)
    with pytest.raises(ConfigError, match=r"^--address: cannot be 203\.0\.113\.9: .*such as 127\.0\.0\.1\.$"):
        AppServer("203.0.113.9", 0)
    with pytest.raises(ConfigError, match=r"^--address: cannot be no\.such\.invalid"):
        AppServer("no.such.invalid", 0)


def test_a_wider_address_takes_addresses_as_names_and_no_other(desk):
    with served(AppServer("0.0.0.0", 0), desk) as server:
        assert socket.gethostname() in server.url
        assert get(server, "/", Host="192.168.1.7:7860")[0] == 200
        assert get(server, "/", Host=socket.gethostname())[0] == 200
        assert get(server, "/", Host="evil.example")[0] == 403


def test_an_address_of_ipv6_is_served():
    try:
        server = AppServer("::1", 0)
    except ConfigError:
        pytest.skip("this machine has no IPv6")
    with server:
        assert server.url == f"http://[::1]:{server.server_address[1]}/"


def test_a_picture_of_another_kind_is_read(server):
    from PIL import Image

    stream = io.BytesIO()
    Image.new("CMYK", (30, 20), (9, 8, 7, 6)).save(stream, "TIFF")
    assert ask(server, stream.getvalue())[1]["size"] == [30, 20]
