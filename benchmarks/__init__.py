"""How fast the package is beside its peers: programs, run by ``make bench``, never timed tests."""
