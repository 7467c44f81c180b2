"""The papers of a controller, made from the running configuration each time they are asked for.

Settings, data map, relying parties, notices, retention rules and the engine's card say what is so; nothing here says it
again. What only people can answer is left open, and named.
"""
