"""Proofs of delivery: real gateways, and lines that are cut while directives cross.  Choices follow from a seed."""
