"""Owns notices, consents, consent events and permits; the only maker of permits.

It never updates a consent event.
"""
