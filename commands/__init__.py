"""The commands of ``facecvt``, a file a kind; :mod:`facecvt.cli` puts them into one program."""
