"""What every room stands on: settings, database, errors, jobs, logging, clock. No FastAPI and no feature in here."""
