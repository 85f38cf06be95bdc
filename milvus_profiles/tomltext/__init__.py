"""The text of TOML documents: where everything stands, and how one line changes while every other byte stays.

Nothing here knows what a profile is.
"""
