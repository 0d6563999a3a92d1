"""What the service does: one verb a file, one transaction each; takes a list, answers a list."""
