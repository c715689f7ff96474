"""Runs of earlier versions: each release adds a folder with a checkpoint, its configs and a plugin, and a test."""
