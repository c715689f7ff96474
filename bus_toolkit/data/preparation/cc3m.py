"""Conceptual Captions 3M (Sharma et al., ACL 2018)."""

from bus_toolkit.data.preparation.web_shards import web_recipe

CC3M = web_recipe(
    "cc3m",
    "Conceptual Captions 3M",
    "https://ai.google.com/research/ConceptualCaptions/download",
    "Train_GCC-training.tsv",
    3_318_333,
)
