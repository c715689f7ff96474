"""Several texts of one image in one picture."""

from __future__ import annotations

import numpy as np
from matplotlib.image import imread

from bus_toolkit.visualization.kept_patches import PatchPicture
from bus_toolkit.visualization.side_by_side import draw_side_by_side, render_side_by_side


def test_each_text_has_a_column_and_long_or_odd_texts_fit(tmp_path):
    image = np.full((8, 8, 3), 200, dtype=np.uint8)
    one, two = (
        PatchPicture(image, caption, (2, 2), np.array(kept))
        for caption, kept in (("a $5 red_circle", [True, False, False, False]), ("very long " * 40, [False] * 4))
    )
    alone, both = render_side_by_side([one]), render_side_by_side([one, two])
    assert both.shape[1] > 1.4 * alone.shape[1] and both.shape[0] > alone.shape[0]
    assert imread(draw_side_by_side([one, two], tmp_path / "new" / "a.png")).shape[:2] == both.shape[:2]
