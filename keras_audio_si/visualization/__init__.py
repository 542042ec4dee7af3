"""Figures, and the values that they show."""
