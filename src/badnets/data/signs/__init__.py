"""Traffic signs that our own code draws: faces (``us``, ``eu``), scenes around them, and the camera that looks at them.

Everything here uses only operations that IEEE 754 defines to the last bit (+, -, *, /, square root, comparisons) and
integer arithmetic, so that a seed gives the same pictures on every machine. That is why polygons, letters, warps and
noise are our own few lines instead of a font engine or an imaging library, whose results differ between versions.
"""
