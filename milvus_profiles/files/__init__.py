"""Paths, owners and open files: what others may have put there is judged here before it is read."""
