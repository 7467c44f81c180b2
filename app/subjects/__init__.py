"""Owns subjects, their tokens, recovery codes and restriction. It never stores a token in readable form."""
