"""The click program: arguments in, one call, one rendering out."""
