"""Looking into networks and cutting them: the graph, channels, sites, layers that a user retrains."""
