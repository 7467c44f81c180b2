"""Measurements of a real service; `benchmarks/README.md` says which."""
