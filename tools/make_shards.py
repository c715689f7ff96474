"""``python tools/make_shards.py``: the same as ``bus-toolkit shards``."""

from bus_toolkit.cli.main import run_as

if __name__ == "__main__":
    run_as("shards")
