"""Where profiles are declared, and how the layers become one profile with an origin for every value.

Import what you need from the modules; this file stays empty of code so that ``locations`` costs nothing to import.
"""
