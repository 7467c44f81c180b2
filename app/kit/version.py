"""The version of the program; the wheel and the API have the same."""

__version__ = "0.2.0"
