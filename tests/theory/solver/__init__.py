"""Tests of the solver of large spectra."""
