"""Hooks that the Runner calls during a training."""
