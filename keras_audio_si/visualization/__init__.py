"""Every figure: what is drawn, and the values that it shows."""
