"""Computes recipes, whatever they are: one loop, one recorder, one pool, one folder of runs.

``compute`` one recipe, ``run_study`` all of a study's; ``training`` is the one loop that trains.
"""
