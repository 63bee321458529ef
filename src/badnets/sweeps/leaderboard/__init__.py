"""Leaderboards: a sweep of attacked networks, and every repair of each of them."""
