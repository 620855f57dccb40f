"""Data sets as tensors and streams: each is looked for on the disk first, and verified."""
