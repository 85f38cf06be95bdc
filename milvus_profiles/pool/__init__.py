"""Leases on live connections: one pure core decides, two thin shells wait (threads, asyncio)."""
