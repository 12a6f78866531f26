"""Tests of the channel clients."""
