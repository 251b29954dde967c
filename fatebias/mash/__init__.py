"""Multivariate adaptive shrinkage on plain arrays (Urbut et al. 2019); knows nothing of screens."""
