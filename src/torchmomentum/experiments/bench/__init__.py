"""Speed and memory: what a benchmark measures, one kind a file, and the benchmarks as studies.

What a run measures it measures side by side in one process, in turn.
"""
