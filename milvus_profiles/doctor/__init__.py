"""The examination of an installation: what is wrong on this machine before any server is asked."""
