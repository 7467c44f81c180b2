"""Owns stores, column types, the data map and migrations. It must never know a domain or the web."""
