"""The arq worker: delivers what the database says is due. Never imports FastAPI."""
