"""Owns tools that every room may use. It must never know a web, a database or a domain."""
