"""Owns relying parties, their purposes and keys. It never stores a key in readable form."""
