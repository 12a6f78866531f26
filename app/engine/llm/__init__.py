"""The optional language model: what it may be asked, what of its answer may go out, and the only call out of `app`."""
