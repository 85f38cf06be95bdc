"""Where profiles are declared, and how the layers become one profile with an origin for every value."""
