"""``python tools/list_backbones.py``: the same as ``bus-toolkit list-backbones``."""

from bus_toolkit.cli.main import run_as

if __name__ == "__main__":
    run_as("list-backbones")
