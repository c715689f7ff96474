"""A run as one page, and several runs side by side; read from what a run leaves in its folder."""
