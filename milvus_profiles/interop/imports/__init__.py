"""Profiles from what people have: the files and variables of other tools, read strictly and shown before they are kept.

Each module reads one source into :class:`~milvus_profiles.interop.imports.found.Found`; :mod:`sources` says which there
are.  Nothing here writes, asks or prints, and an entry that cannot be used does not spoil the others.
"""
