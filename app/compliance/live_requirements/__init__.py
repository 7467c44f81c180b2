"""Checks the requirements of `MIEN_PROFILE=live`; it must never claim that a use is lawful."""
