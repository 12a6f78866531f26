"""The only code that speaks to Slack and monday.com."""
