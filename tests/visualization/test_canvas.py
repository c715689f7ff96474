"""What all pictures have in common."""

from __future__ import annotations

import matplotlib
import numpy as np

from bus_toolkit.study.report.drawing import drawing
from bus_toolkit.visualization.kept_patches import PatchPicture, render_kept_patches

# LaTeX is not installed, or reads an underscore as mathematics.
OF_A_USER = {"text.usetex": True, "font.size": 30, "axes.facecolor": "black", "savefig.dpi": 20}


def test_settings_of_the_user_change_no_picture() -> None:
    picture = PatchPicture(np.full((8, 8, 3), 200, np.uint8), "a red_circle", (2, 2), np.array([True] * 4))
    before = render_kept_patches([picture])
    with matplotlib.rc_context(OF_A_USER):
        assert np.array_equal(render_kept_patches([picture]), before)
        with drawing():
            assert not matplotlib.rcParams["text.usetex"] and matplotlib.rcParams["svg.fonttype"] == "none"
        assert matplotlib.rcParams["text.usetex"] and matplotlib.rcParams["font.size"] == 30
