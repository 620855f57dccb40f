"""Searches over settings: proposes values to the engine, and remembers what they gave."""
