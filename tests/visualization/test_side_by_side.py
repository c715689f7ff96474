"""Several texts of one image in one picture."""

from __future__ import annotations

import numpy as np
from matplotlib.image import imread

from bus_toolkit.visualization.kept_patches import PatchPicture
from bus_toolkit.visualization.side_by_side import _figure as figure_of
from bus_toolkit.visualization.side_by_side import draw_side_by_side, render_side_by_side


def test_each_text_has_a_column_and_long_or_odd_texts_fit(tmp_path):
    image = np.full((8, 8, 3), 200, dtype=np.uint8)
    one, two = (
        PatchPicture(image, caption, (2, 2), np.array(kept))
        for caption, kept in (("a $5 red_circle", [True, False, False, False]), ("very long " * 40, [False] * 4))
    )
    alone, both = render_side_by_side({"": [one]}), render_side_by_side({"": [one, two]})
    assert both.shape[1] > 1.4 * alone.shape[1] and both.shape[0] > alone.shape[0]
    assert imread(draw_side_by_side({"": [one, two]}, tmp_path / "new" / "a.png")).shape[:2] == both.shape[:2]


def test_each_of_several_models_has_a_column_with_whole_pixels():
    image = np.full((8, 8, 3), 200, dtype=np.uint8)
    image[0, 0] = 0
    kept = PatchPicture(image, "a text", (2, 2), np.array([True, False, False, False]))
    other = PatchPicture(image, "a text", (2, 2), np.zeros(4, bool))
    one, two = (
        render_side_by_side({"ours": [kept, other]}),
        render_side_by_side({"ours": [kept, other], "its": [other, kept]}),
    )
    assert two.shape[0] > 1.2 * one.shape[0] and two.shape[1] < one.shape[1], "texts are rows, panels are smaller"
    # The black pixel of the image is a square of 30 x 30: 8 x 30 = 240 of at most 247.
    left, top = 16, two.shape[0] // 2 - 16 - 240
    assert (two[top : top + 30, left : left + 30] == 0).all() and (two[top : top + 30, left + 30] == 200).all()


def test_titles_of_several_models_stay_above_their_own_pictures():
    picture = PatchPicture(np.zeros((96, 96, 3), np.uint8), "what color is the mark", (12, 12), np.ones(144, bool))
    figure = figure_of({"text-aware": [picture], "a selector with a very long name": [picture], "random": [picture]})
    titles = sorted((text.get_window_extent() for text in figure.texts), key=lambda box: box.x0)
    assert len(titles) == 4 and all(one.x1 <= other.x0 for one, other in zip(titles, titles[1:], strict=False))
