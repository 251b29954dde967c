"""Runs written down for comparison: first to files in out_dir (spool), then to MLflow (sync).

Only store.py imports mlflow, and only sync.py imports store.py.
"""
