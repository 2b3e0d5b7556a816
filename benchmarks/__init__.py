"""dlcore beside its alternatives: ``python -m benchmarks`` prints one table of ratios."""
