"""The append-only transparency log: entries, batches, and the Merkle tree. It must never change or delete a leaf."""
