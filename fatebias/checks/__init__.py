"""Stages that judge a finished fit: calibration and power checks, held-out scores, resampling, commitment."""
