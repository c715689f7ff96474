"""``python tools/prepare_data/coco.py``: the same as ``bus-toolkit prepare coco``."""

from bus_toolkit.cli.main import run_as

if __name__ == "__main__":
    run_as("prepare", "coco")
