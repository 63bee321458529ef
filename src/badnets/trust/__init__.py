"""Who made a network, and whether anybody changed it: keys, signatures, attestations, policies."""
