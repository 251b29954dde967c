"""One run: the stages, their order, and the closing lines."""
