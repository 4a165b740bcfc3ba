"""Benchmarks of the project, which no user of the package needs."""
