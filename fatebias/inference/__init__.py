"""Ways to the posterior: Laplace, SVI, NUTS."""
