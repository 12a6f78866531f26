"""Consent: the texts people saw, what they answered, and the log that proves it."""
