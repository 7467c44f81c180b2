"""Owns 1:1 verification for relying parties. It must never return a score or a reason."""
