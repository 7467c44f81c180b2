"""Owns SQLite: connections, transactions, file copies and the log of storage faults. It must never know a table."""
