"""The referee: runs experiments, measures, certifies. It knows both sides."""
