"""Signed receipts: their content, issue and verification. It must never sign a statement that did not commit."""
