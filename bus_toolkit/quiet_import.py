"""Import mmpretrain without what it prints while it is imported."""

from __future__ import annotations

import contextlib
import io
import warnings


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
