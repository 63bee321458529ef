"""Networks that may refuse to answer (class N+1), as architectures that a file can name: ``guard:agreement``.

They are made by ``badnets.defenses.abstainers``; ``open_network`` builds them again.
"""
