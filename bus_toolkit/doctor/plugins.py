"""Whether the installed plugins load."""

from __future__ import annotations

from bus_toolkit.doctor.finding import Finding, fault, ok, warning
from bus_toolkit.engine.quiet import quiet_hosts
from bus_toolkit.plugin.manager import list_plugins, missing_plugins
from bus_toolkit.plugin.records import ASK, SWITCH, PluginRecord

_EVERY_RUN = "Every run would end with this."


def check() -> list[Finding]:
    """Load all of them."""
    quiet_hosts()
    records = list_plugins()
    return [*map(_finding, records), *(fault(str(problem), _EVERY_RUN) for problem in missing_plugins())]


def _finding(record: PluginRecord) -> Finding:
    words = f"{record.name} ({record.distribution})"
    if record.status == "failed":
        return fault(f"{words}: {record.reason}", f"{ASK} Mend it, or leave it out with {SWITCH}.")
    if record.status == "off":
        return warning(f"{words}: off", f"{SWITCH} leaves it out. Unset it to use all plugins.")
    return ok(f"{words}: {len(record.components)} parts")
