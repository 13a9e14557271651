"""Bytes <-> records: knows files, knows no operator. numpy alone; no framework is needed to read or write a model."""
