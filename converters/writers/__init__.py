"""Canonical graph -> files of one framework."""
