"""Live connections by alias."""
