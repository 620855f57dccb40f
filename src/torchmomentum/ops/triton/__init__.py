"""Triton kernels. Nothing here is imported before a tensor is there that they serve."""
