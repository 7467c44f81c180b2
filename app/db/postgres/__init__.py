"""Owns PostgreSQL: connections, transactions and the comparison of schemas. It must never know a table."""
