"""Transforms of a sample: load, augment, pack."""
