"""Tests of how images and masks become a graph."""
