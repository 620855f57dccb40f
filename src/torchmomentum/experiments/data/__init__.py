"""Data sets as arrays: each function gives tensors, looking on the disk first."""
