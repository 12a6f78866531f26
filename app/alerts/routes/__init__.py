"""HTTP of delivery, for operators: alerts, dead letters, channels, and how all of it stands."""
