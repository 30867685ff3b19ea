"""Timings, each run as ``python -m experiments.benchmarks.<name>``."""
