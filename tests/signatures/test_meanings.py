from bus_toolkit.signatures import argument_meanings


class Base:
    """A base.

    Args:
        size: Edge of it.
        name: As the base says.
    """


class Part(Base):
    """A part.

    Args:
        name (str): What it is called; two lines
            of text.

    Raises:
        ValueError: no argument.
    """


class Silent(Part):
    pass


def build(depth):
    """Build it.

    Args:
        depth: Blocks.
    """


def test_each_argument_means_what_the_nearest_class_says():
    expected = {"name": "What it is called; two lines of text.", "size": "Edge of it."}
    assert argument_meanings(Part) == expected == argument_meanings(Silent)


def test_functions_have_meanings_too():
    assert argument_meanings(build) == {"depth": "Blocks."}
    assert argument_meanings(lambda: None) == {}
