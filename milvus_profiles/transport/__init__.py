"""From a profile and its token to a live gRPC channel, and from a failure of that to its cause.

``options`` opens the raw channel, ``core`` and ``channel`` make of it what users get, ``handshake`` makes the first
calls; ``probes``, ``tls_probe`` and ``evidence`` look at a server from below gRPC, and ``failures`` says what it all
means.  ``lite`` runs Milvus Lite in this process.  Nothing here knows where profiles or secrets come from.
"""
