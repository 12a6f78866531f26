"""Everything FastAPI-shaped that belongs to no feature."""
