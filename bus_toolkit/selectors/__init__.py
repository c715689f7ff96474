"""Patch selectors: which patches of the image go on."""
