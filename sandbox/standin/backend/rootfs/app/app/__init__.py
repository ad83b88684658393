"""A stand-in of the momentstudio backend that keeps its operational contract and nothing else."""
