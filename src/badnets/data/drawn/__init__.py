"""Traffic signs and scenes that our code draws, the same on every machine."""
