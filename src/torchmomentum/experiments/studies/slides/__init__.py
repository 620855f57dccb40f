"""The slides' figures of optimization and sampling: problems, methods, what a run computes."""
