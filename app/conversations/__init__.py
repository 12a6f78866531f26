"""Conversations: a visitor's chat, from the first greeting to the last reply."""
