"""Needle scenes: many small objects, each with a mark that only a text which names the object makes worth reading."""
