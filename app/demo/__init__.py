"""Plays the story of Mien with outside HTTP clients against a real service. It must never import the service.

`story` lists the steps; each `*_steps` module has those of one part.
"""
