"""Counting an engine's errors on a folder of images: `mien evaluate`. Knows no person, no grant and no store.

The method is that of the cards (ISO/IEC 19795-1): every pair, a threshold is a false match rate on this trial,
intervals by resampling people, rates by group. `docs/how-to/evaluate-an-engine.md` explains each number.
"""
