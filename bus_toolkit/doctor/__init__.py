"""Whether this machine and this installation can train: versions, memory, plugins, processes, a step on each device."""

from bus_toolkit.doctor.examine import Section, examine
from bus_toolkit.doctor.finding import Finding, Verdict

__all__ = ["Finding", "Section", "Verdict", "examine"]
