"""Named connection profiles for Milvus."""
