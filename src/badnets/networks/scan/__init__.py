"""What could run code, or reach outside, when a network file is opened; nothing is opened in a framework."""
