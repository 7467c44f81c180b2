"""Fuzzing: ``make fuzz``."""
