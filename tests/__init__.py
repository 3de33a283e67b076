"""Tests of maskgraph."""
