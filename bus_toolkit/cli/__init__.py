"""The commands of the toolkit, one file each."""
