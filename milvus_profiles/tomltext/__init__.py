"""The text of TOML documents, and how one line changes while every other byte stays; it knows no profiles."""
