"""Alerts: one message to one channel about one event, recorded with the event and delivered by the worker."""
