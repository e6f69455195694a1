"""lddu."""
