"""Every query of privacy: requests, the people they are about, what is held, what is left, what is too old."""
