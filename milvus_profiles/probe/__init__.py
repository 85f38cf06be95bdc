"""Looks at a server from below gRPC, and says what a failure means.

``sockets``, ``tls`` and ``http`` look, one layer at a time; ``results`` is what they saw, ``explain`` what it means.
"""
