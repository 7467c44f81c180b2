"""The append-only transparency log: entries, batches, the Merkle tree in tiles.

It must never change or delete a leaf.
"""
