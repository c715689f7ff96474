"""Damage: what copies, disks and people with bad intent do to a file that was good."""

import re

# Of YAML, JSON and pickles as text: what readers convert, count with, or use as a path, a key or a size.
SCALARS = [
    *("", "~", "null", "true", "-1", "0", "0x1F", "1e999", "-1e999", ".nan", "NaN", "Infinity", "1e308", "{}", "[]"),
    *(
        "[[]]",
        "{a: 1}",
        '{"a": 1}',
        "9" * 25,
        "9" * 400,
        "-" + "9" * 400,
        "x" * 300,
        "/" * 50,
        "~nosuchuser/x",
        "\\u0000",
    ),
    *(
        '"\\ud800"',
        '"\\u001b[31m"',
        "\u202e",
        "${settings.x}",
        "${X",
        "$${",
        "*a",
        "&a [*a]",
        "!!python/name:os",
        "<<",
        "#",
    ),
    *(
        "'",
        '"',
        "../../etc/passwd",
        "a.b.c",
        "type",
        "_base_",
        "{type: {}}",
        "[1, [2, {}]]",
        "2147483648",
        "18446744073709551616",
    ),
]
_WORD = re.compile(rb"[\w.+-]+|\"[^\"\n]*\"")
_NUMBERS = (0, 1, 127, 128, 255, 256, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)


def damage_bytes(rng, data):
    """Return ``data`` with one to eight random changes of bytes."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        _change(rng, data)
    return bytes(data)


def _change(rng, data):
    place, length = rng.randrange(len(data) + 1), rng.choice((1, 2, 4, 8, 64, 512))
    kind = rng.randrange(8)
    if kind == 0:
        del data[place:]
    elif kind == 1:
        del data[place : place + length]
    elif kind == 2:
        data[place:place] = rng.randbytes(length)
    elif kind == 3:
        data[place : place + length] = bytes(length)
    elif kind == 4:
        size = rng.choice((1, 2, 4, 8))
        number = rng.choice(_NUMBERS) % 256**size
        data[place : place + size] = number.to_bytes(size, rng.choice(("little", "big")))
    elif kind == 5:
        other = rng.randrange(len(data) + 1)
        data[place:place] = data[other : other + length]
    elif place < len(data):
        data[place] = data[place] ^ (1 << rng.randrange(8)) if kind == 6 else rng.randrange(256)


def damage_text(rng, data):
    """Return a text with words replaced by hostile ones, or lines moved, doubled or taken out."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        words = list(_WORD.finditer(data))
        if rng.random() < 0.7 and words:
            word = rng.choice(words)
            data = data[: word.start()] + rng.choice(SCALARS).encode() + data[word.end() :]
            continue
        lines = data.split(b"\n")
        place = rng.randrange(len(lines))
        moved = lines.pop(place) if rng.random() < 0.6 else lines[place]
        if rng.random() < 0.6:
            indent = b" " * rng.choice((0, 0, 2, 4))
            lines.insert(rng.randrange(len(lines) + 1), indent + moved)
        data = b"\n".join(lines)
    return data if rng.random() < 0.85 else damage_bytes(rng, data)


def hostile_value(rng, depth=0):
    """Return a random value of JSON, as Python's ``json`` writes it."""
    kind = rng.randrange(9 if depth < 4 else 7)
    if kind == 7:
        return [hostile_value(rng, depth + 1) for _ in range(rng.randrange(5))]
    if kind == 8:
        return {rng.choice(("id", "a", "type", "")): hostile_value(rng, depth + 1) for _ in range(rng.randrange(3))}
    plain = (
        None,
        True,
        -1,
        10**400,
        float("inf"),
        float("nan"),
        1e308,
        0,
        7.0,
        "",
        "\ud800",
        "\x1b[2J",
        "x" * 300,
        2**64,
    )
    return rng.choice(plain)


def damage_value(rng, value):
    """Return a JSON value with one place of it replaced, taken out or doubled."""
    if not isinstance(value, dict | list) or not value or rng.random() < 0.15:
        return hostile_value(rng)
    copy = dict(value) if isinstance(value, dict) else list(value)
    key = rng.choice(list(copy)) if isinstance(copy, dict) else rng.randrange(len(copy))
    if rng.random() < 0.1:
        del copy[key]
    else:
        copy[key] = damage_value(rng, copy[key])
    return copy
