"""Who does the tasks: processes of this machine, Ray, SLURM."""
