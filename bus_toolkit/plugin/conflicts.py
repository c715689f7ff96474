"""Two builds of OpenMMLab in one environment overwrite each other's files."""

from __future__ import annotations

from collections.abc import Collection
from importlib.metadata import distributions


def conflicting_builds(installed: Collection[str] | None = None) -> str:
    """Return what to do about OpenMMLab's original distributions, or nothing if there are none.

    They install into the same folders as the maintained builds.

    Args:
        installed: Names of distributions in small letters; those of this environment by default.
    """
    if installed is None:
        installed = {str(d.metadata["Name"]).lower() for d in distributions()}
    clash = [name for name in ("mmengine", "mmcv", "mmcv-lite", "mmcv-full", "mmpretrain") if name in installed]
    if not clash:
        return ""
    ours = ["onedl-mmengine", "onedl-mmcv", "onedl-mmpretrain"]
    return (
        f"OpenMMLab is installed from its original distributions ({', '.join(clash)}), whose files mix with "
        f"those of the maintained builds. Run: pip uninstall -y {' '.join(clash)} && "
        f"pip install --force-reinstall --no-deps {' '.join(ours)}"
    )
