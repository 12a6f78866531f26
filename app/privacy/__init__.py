"""Privacy: what a person may ask of us about their data, and what became of the request."""
