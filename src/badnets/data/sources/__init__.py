"""Where data comes from: one file per source; ``registry.SOURCES`` lists them, ``badnets.data.load.load`` is the way in."""
