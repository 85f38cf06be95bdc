"""The commands, a module for each group: options to work done below, and its outcome to the output."""
