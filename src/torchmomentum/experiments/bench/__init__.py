"""What ``torchmomentum bench`` measures: one kind a file, each a list of rows.

Everything is timed side by side in one process; a row holds medians, ratios and their spread.
"""
