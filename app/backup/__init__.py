"""Backups of the data store: create, stage, restore. It must never bring back rows whose key was destroyed."""
