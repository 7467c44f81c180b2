"""Relying parties: who may ask, for which purposes, and with which key."""
