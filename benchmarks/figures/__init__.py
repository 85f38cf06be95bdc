"""One module for each figure, a program of its own: ``python -m benchmarks.figures.pool``.

Each has ``run(effort)``, which returns the rows of its figure, and is run in a fresh process, so that no figure finds
threads, modules or memory of another.
"""
