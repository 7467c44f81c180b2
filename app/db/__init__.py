"""Databases without domain words: the store, column types, the data map, migrations."""
