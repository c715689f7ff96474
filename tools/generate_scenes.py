"""``python tools/generate_scenes.py``: the same as ``bus-toolkit scenes``."""

from bus_toolkit.cli.main import run_as

if __name__ == "__main__":
    run_as("scenes")
