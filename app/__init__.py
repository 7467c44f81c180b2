"""Mien: face matching that asks first."""
