"""How much a soft label counts, and what calls are worth: the weight, robust errors, negative controls."""
