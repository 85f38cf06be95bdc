"""Engines that spread work over processes: run by `make test-engines`."""
