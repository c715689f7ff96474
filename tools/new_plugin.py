"""``python tools/new_plugin.py``: the same as ``bus-toolkit new-plugin``."""

from bus_toolkit.cli.main import run_as

if __name__ == "__main__":
    run_as("new-plugin")
