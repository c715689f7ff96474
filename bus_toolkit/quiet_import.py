"""Import the large libraries: without what mmpretrain prints, and without the garbage collector's searches."""

from __future__ import annotations

import contextlib
import gc
import io
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def rare_collections() -> Iterator[None]:
    """Let the garbage collector search rarely while libraries are imported, and as before afterwards.

    torch, transformers and OpenMMLab make some 400,000 objects that stay. By default each 700 start a search, some of
    them through all that is there: a fifth of the time of the imports.
    """
    before = gc.get_threshold()
    if before[0]:  # 0: somebody has switched it off
        gc.set_threshold(max(before[0], 100_000), *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def import_mmpretrain_quietly() -> None:
    """Import mmpretrain's models and data sets with nothing on the screen; no logger or warning filter stays changed.

    Two messages that need no action appear otherwise: "Could not import OneDL", and that mmcv has no compiled ops. If
    the import fails, the part that needs mmpretrain reports it.
    """
    with (
        contextlib.redirect_stdout(io.StringIO()),
        warnings.catch_warnings(),
        contextlib.suppress(Exception),
    ):
        warnings.simplefilter("ignore")
        import mmpretrain.datasets
        import mmpretrain.models  # noqa: F401
