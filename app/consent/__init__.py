"""Consent: the notices that were read, the grants in force, the events that are never updated.

The only maker of permits.
"""
