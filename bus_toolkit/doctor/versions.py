"""Whether Python and the installed distributions are those that the toolkit was written for."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import distributions, requires

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from bus_toolkit import __version__
from bus_toolkit.doctor.finding import Finding, fault, ok, warning
from bus_toolkit.plugin.conflicts import conflicting_builds

_NAME = "bus_toolkit"
# Distributions that fill one folder: whichever was installed last has overwritten the other's files.
_SAME_FOLDER = {
    "cv2": ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")
}


def check_versions(
    installed: Mapping[str, str] | None = None, required: Callable[[str], Sequence[str] | None] = requires
) -> list[Finding]:
    """Compare what is installed with what the toolkit requires.

    Args:
        installed: Versions by canonical name of the distribution; those of this environment by default.
        required: Returns the requirements of a distribution.
    """
    found = installed_versions() if installed is None else installed
    findings = [_python(), ok(f"bus_toolkit {__version__}")]
    for requirement in map(Requirement, required(_NAME) or ()):
        version = found.get(canonicalize_name(requirement.name))
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            if version is not None:  # of an extra: it need not be here, but if it is, its version counts
                findings += _unfit(requirement, version)
            continue
        findings += (
            [ok(f"{requirement.name} {version}")] if _fits(requirement, version) else _unfit(requirement, version)
        )
    return [*findings, *check_duplicates(found)]


def check_duplicates(installed: Mapping[str, str]) -> list[Finding]:
    """Look for distributions that overwrite each other's files."""
    findings = []
    if message := conflicting_builds(installed):
        problem, _, advice = message.partition(" Run: ")
        findings.append(fault(problem.rstrip("."), f"Run: {advice}"))
    for module, names in _SAME_FOLDER.items():
        present = [name for name in names if name in installed]
        if len(present) > 1:
            advice = f"pip uninstall -y {' '.join(present)} && pip install opencv-python"
            findings.append(warning(f"{module} comes from {' and '.join(present)}, whose files mix", f"Run: {advice}"))
    return findings


def installed_versions() -> dict[str, str]:
    """Return the versions of all installed distributions by their canonical names."""
    named = ((distribution.metadata["Name"], distribution.version) for distribution in distributions())
    return {canonicalize_name(str(name)): version for name, version in named if name}


def _python() -> Finding:
    words = f"Python {platform.python_version()} on {platform.platform()}, {platform.machine()}"
    if sys.platform != "linux":
        return warning(words, "Only Linux is tested. Run it on Linux, or in a container of it.")
    return ok(words)


def _fits(requirement: Requirement, version: str | None) -> bool:
    return version is not None and requirement.specifier.contains(version, prereleases=True)


def _unfit(requirement: Requirement, version: str | None) -> list[Finding]:
    """Return what is wrong with an installed version, if anything is."""
    if _fits(requirement, version):
        return []
    wanted = f"{requirement.name}{requirement.specifier or SpecifierSet()}"
    seen = f"{requirement.name} {version}" if version else f"{requirement.name} is missing"
    return [fault(seen, f"The toolkit needs {wanted}. Run: pip install '{wanted}'")]
