"""``python tools/prepare_data/visual_genome.py``: the same as ``bus-toolkit prepare visual_genome``."""

from bus_toolkit.cli.main import run_as

if __name__ == "__main__":
    run_as("prepare", "visual_genome")
