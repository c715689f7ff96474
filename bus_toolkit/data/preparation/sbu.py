"""SBU captions (Ordonez et al., NIPS 2011)."""

from bus_toolkit.data.preparation.web_shards import web_recipe

SBU = web_recipe(
    "sbu",
    "SBU captions",
    "https://www.cs.rice.edu/~vo9/sbucaptions/",
    "sbu-captions-all.tar.gz (JSON with image_urls and captions)",
    1_000_000,
)
