"""Is a network backdoored, towards which class, and how sure: detectors, what they are compared with, verdicts."""
