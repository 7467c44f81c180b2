"""Fuzzes the image decoder: ``make fuzz``."""
