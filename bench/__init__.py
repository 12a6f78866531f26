"""Measures what DESIGN promises about speed, as ratios within one run, because machines differ."""
