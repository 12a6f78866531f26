"""The sink: plays Slack and monday.com on loopback, as strict as they are, and shows what it was sent."""
