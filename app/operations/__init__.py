"""What operators did, and when scheduled jobs ran: the journals that every feature writes to."""
