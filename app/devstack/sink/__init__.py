"""The sink: plays Slack, monday.com and a mail server on loopback, as strict as they are, and shows what it got."""
