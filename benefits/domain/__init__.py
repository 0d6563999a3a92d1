"""The rules: pure functions over values. No await, no clock, no chance, no I/O."""
