"""`mien witness`: remembers the checkpoints of a log and checks later ones against them.

It must trust nothing the log says.
"""
