"""Figures show what was recorded."""
