"""Tests of what the theory says of a graph."""
