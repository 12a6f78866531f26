"""Follow-ups: the n-th automated message of a conversation that went quiet."""
