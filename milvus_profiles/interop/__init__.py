"""Other clients of a profile: what they are called, and what they want to be told."""
