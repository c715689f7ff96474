"""Abstraction decoders: a further, shorter summary of the visual tokens."""
