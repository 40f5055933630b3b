"""Benchmarks, each beside its floor in the same run. ``make bench`` prints them; nothing here is a timed assert.

``python -m tests.bench [NAME…]`` runs all or the named ones. Times are wall clock of whole processes, the best of a few
runs (these are figures for comparison, on noisy machines: trust the ratio).
"""
