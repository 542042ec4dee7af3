"""Models for use without this package."""
