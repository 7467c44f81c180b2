"""Owns backups of the data store and their restore. It must never copy the register or a key."""
