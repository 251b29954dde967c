"""What mash is given: estimates, their errors, and the weight of a soft label."""
