"""Offline verification of receipts, checkpoints and proofs. It must import nothing else of the application."""
