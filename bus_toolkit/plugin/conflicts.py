"""Two builds of OpenMMLab in one environment overwrite each other's files."""

from __future__ import annotations

from importlib.metadata import distributions


def conflicting_builds() -> str:
    """Return what to do about OpenMMLab's original distributions, or nothing if there are none.

    They install into the same folders as the maintained builds.
    """
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
