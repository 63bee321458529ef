"""Which inputs carry a trigger: scores of pictures, one file per method. Their networks that refuse are in
``badnets.networks.guards``."""
