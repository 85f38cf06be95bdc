"""Looks at a server from below gRPC, and says what a failure means."""
