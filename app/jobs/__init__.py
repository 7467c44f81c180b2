"""Owns the work that runs beside requests: maintenance, transparency log batches, callbacks, template renewal.

It must never delay a request.
"""
