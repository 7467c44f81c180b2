"""Checks and documents for the controller: live requirements, shipped notices, records of processing.

It must not decide about a subject.
"""
