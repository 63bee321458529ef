"""The referee: knows attacker and defender, runs experiments, measures, and writes records."""
