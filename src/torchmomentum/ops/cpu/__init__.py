"""The compiled CPU kernels: their build, calls to them, and layers made of these."""
