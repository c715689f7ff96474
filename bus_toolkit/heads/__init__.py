"""VLP heads: one objective each, with its loss and its predictions."""
