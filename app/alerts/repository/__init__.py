"""Every query of delivery: alerts recorded and listed, the queue, the gate of a channel, dead letters."""
