"""Signed receipts: their content, issuing and checking. It must never sign a statement that did not commit."""
