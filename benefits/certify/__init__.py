"""Certification: named checks that a provider keeps its contract, over the code that calls it."""
