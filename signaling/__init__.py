"""What is said and what it means.  Pure: no I/O, clock, randomness or event loop."""
