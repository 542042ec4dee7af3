"""Pure functions on tensors; one module per concept."""
