"""``python tools/prepare_data/vqa_v2.py``: the same as ``bus-toolkit prepare vqa_v2``."""

from bus_toolkit.cli.main import run_as

if __name__ == "__main__":
    run_as("prepare", "vqa_v2")
