"""Tests of the masked autoencoders: the model, its training, and what is read off its features."""
