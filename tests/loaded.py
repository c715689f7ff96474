"""The toolkit with all its parts, imported once for the processes that are forked from the one that imports this."""

from bus_toolkit.engine import quiet_hosts
from bus_toolkit.plugin.manager import load_plugins

quiet_hosts()
load_plugins()
