"""What exists only to reproduce the published code of LDDU."""
