"""Mien: face matching that asks first."""

__version__ = "0.2.0"
