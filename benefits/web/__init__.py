"""Edge in: HTTP. One file per audience."""
