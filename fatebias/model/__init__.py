"""The model: tensor maths, sample sites, variational families."""
