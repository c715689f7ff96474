"""Where samples come from: the scene generator, readers, transforms, batch samplers and tokenizers.

Import ``bus_toolkit.data.components`` to register what MMEngine's Runner builds; this package alone imports nothing heavy.
"""
