"""Runs models side by side and says where they part."""
