"""Owns messages to relying parties: outbox, delivery, URL rules. It never states why a consent ended."""
