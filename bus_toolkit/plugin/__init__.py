"""Plugins: what they may implement, how they are loaded, and the built-in parts."""
