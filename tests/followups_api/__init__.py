"""Operators over HTTP: follow-ups, repeated requests, leads and conversations."""
