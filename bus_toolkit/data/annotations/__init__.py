"""Readers of annotation files: each turns files into records, and names what is wrong with them."""
