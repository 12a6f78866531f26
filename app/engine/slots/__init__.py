"""Grammar that reads facts about the visitor and their home out of one message."""
