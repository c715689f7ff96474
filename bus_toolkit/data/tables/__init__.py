"""Annotation files as tables: converted once, mapped into memory, one copy for all processes of a machine."""
