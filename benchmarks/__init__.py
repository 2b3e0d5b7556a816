"""Benchmarks of dlcore against its alternatives: ``python -m benchmarks`` prints the tables."""
