"""The files of a run: where each one is, how it appears whole, and what run.json says."""
