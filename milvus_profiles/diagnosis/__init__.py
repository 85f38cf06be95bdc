"""What stands between a profile and a live connection, stage by stage."""
