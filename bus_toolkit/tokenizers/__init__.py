"""Tokenizers: texts to ids."""
