"""Sealed templates and kept photos: storage, engine history, renewal, expiry.

It must never store a template without a grant.
"""
