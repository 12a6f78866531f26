"""The answer engine: what a visitor said in, what we answer out. Pure: no database, no network, no clock."""
