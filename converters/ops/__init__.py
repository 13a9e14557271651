"""Operator rules, one family a module, every framework's dialect of it on one screen; see registry.py."""
