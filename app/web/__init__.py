"""Owns HTTP: authentication, problem documents, pagination, limits, middleware. It must never know a domain word.

Every other room that answers requests builds on it.
"""
