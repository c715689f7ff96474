"""The cost of a model."""
