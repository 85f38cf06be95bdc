"""What the tests stand on: real servers, a real keyring, certificates, faults over real sockets."""
