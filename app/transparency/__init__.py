"""Proof that each subject can hold: an append-only transparency log of all acts, and signed receipts.

It must never change or delete a leaf, and never sign a statement about an act that did not commit.
"""
