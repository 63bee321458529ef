"""Catalogues of networks: plain files for any web server, which say what is current and whose it is, and hold against
whoever stands between (The Update Framework, TUF)."""

from badnets.trust.extra import needed

needed("tuf.ngclient")
