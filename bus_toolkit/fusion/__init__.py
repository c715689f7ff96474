"""Fusions of text and visual tokens."""
