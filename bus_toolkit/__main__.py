"""``python -m bus_toolkit COMMAND``: the same as ``bus-toolkit COMMAND``."""

from bus_toolkit.cli.main import run

if __name__ == "__main__":
    run()
