"""Where data comes from, one file per source; ``registry.SOURCES`` lists them, ``badnets.data.load`` is the way in."""
