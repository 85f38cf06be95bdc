"""A profile written down for another client: a program, variables, or a manifest, complete and ready to run.

Each module knows one kind of client; :mod:`plan` what they all write about, :mod:`quoting` how each language writes a
text, :mod:`formats` which there are.  Nothing here resolves secrets or prints.
"""
