"""``python tools/prepare_data/flickr30k.py``: the same as ``bus-toolkit prepare flickr30k``."""

from bus_toolkit.cli.main import run_as

if __name__ == "__main__":
    run_as("prepare", "flickr30k")
