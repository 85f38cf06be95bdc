"""The version, in a module of its own: the packages below ask for it, and the root imports those."""

__version__ = "0.1.0"
