"""One gRPC channel to a Milvus: its options and credentials, its calls and their metadata, Milvus Lite in this process.

``options`` opens the raw channel, ``core`` and ``channel`` make of it what users get.  Nothing here knows where
profiles or secrets come from, or what a failure means.
"""
