"""Who does many works: processes of this machine, Ray, SLURM. Sweeps, studies and references run on them alike."""
