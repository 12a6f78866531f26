"""Tests of the sink that plays Slack and monday.com."""
