"""Owns keys, tombstones and the order in which both stores commit. It must never bring a destroyed key back."""
