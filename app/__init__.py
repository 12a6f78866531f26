"""NovaHouse Chatbot API: a chat backend that captures leads with provable consent and loses no alert."""
