"""The audit tried on a pool of networks, clean and backdoored, in three disjoint parts; beside published detectors."""
