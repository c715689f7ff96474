"""A few drawings in the layout of Openclipart's packages."""

from __future__ import annotations

import cv2
import numpy as np

_NAMES = 'xmlns:cc="http://web.resource.org/cc/" xmlns:dc="http://purl.org/dc/elements/1.1/"'


def svg(title, *, tags=(), creator="", description=""):
    """Return an SVG with metadata."""
    bag = "".join(f"<li>{tag}</li>" for tag in tags)
    agent = f"<dc:creator><cc:Agent><dc:title>{creator}</dc:title></cc:Agent></dc:creator>"
    work = (
        f"<cc:Work><dc:title>{title}</dc:title><dc:description>{description}</dc:description>"
        f"<dc:subject><Bag>{bag}</Bag></dc:subject>{agent}</cc:Work>"
    )
    return f"<svg {_NAMES}><title>drawing</title><metadata><RDF>{work}</RDF></metadata><g/></svg>".encode()


def png(number, size=(20, 40), alpha=True):
    """Return a picture whose colour encodes its number; its upper half is transparent."""
    image = np.full((*size, 4 if alpha else 3), 255, np.uint8)
    image[:, :, :3] = (number % 251, number // 251, 7)
    if alpha:
        image[: size[0] // 2, :, 3] = 0
    return cv2.imencode(".png", image)[1].tobytes()


def drawings(count, first=0):
    """Return path to (svg, png) of drawings with a title each."""
    words = "apple boat chair drum eagle flute goose house island jacket kettle lamp moon nest owl pear".split()
    pictures = {}
    for number in range(first, first + count):
        title = f"{words[number % 16]} and {words[number // 16 % 16]}"
        pictures[f"things/thing_jo_{number:03d}"] = (svg(title, creator="Jo Doe", tags=["thing"]), png(number))
    return pictures


def package_members(pictures, kind):
    """Return the members of one of the two packages: ``svg`` or ``png``."""
    place = 0 if kind == "svg" else 1
    return {f"./usr/share/openclipart/{kind}/{path}.{kind}": pair[place] for path, pair in pictures.items()}
