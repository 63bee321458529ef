"""Traffic signs that our own code draws: faces (``us``, ``eu``; by name in ``styles``), what is around them, the
camera that looks at one of them, and streets with several.

Everything here uses only operations that IEEE 754 defines to the last bit (+, -, *, /, square root, comparisons) and
integer arithmetic, so that a seed gives the same pictures on every machine. That is why polygons, letters, warps and
noise are our own few lines instead of a font engine or an imaging library, whose results differ between versions.
"""
