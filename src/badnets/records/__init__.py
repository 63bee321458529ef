"""Everything that is written as JSON, as typed values: runs, certificates, evaluations, studies.

Each model reads its own JSON and the older forms of it; intervals are computed anew from the counts. No torch in here.
"""
