"""Pictures: each function takes results and draws them."""
