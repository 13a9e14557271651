"""One result object, many faces."""
