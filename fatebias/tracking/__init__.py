"""Runs in MLflow: each run describes itself in its own folder, and `sync` brings the folders to MLflow.

Only store.py imports mlflow, and only sync.py imports store.py.
"""
