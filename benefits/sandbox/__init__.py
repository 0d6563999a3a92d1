"""A benefit provider as a real HTTP server, for the demo and the tests."""
