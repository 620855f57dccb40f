"""The instrument: tasks, recipes, training, comparison and report, behind the command line.

An optional extra, ``pip install torchmomentum[experiments]``. Nothing of the library imports it.

A run flows one way: the command line resolves a recipe into a :class:`~.configuration.RunConfig`, a
task makes the data of it, training writes what happened, comparison gathers the runs, and the
report shows them.
"""
