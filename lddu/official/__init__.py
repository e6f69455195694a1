"""Parts that exist only to reproduce the published code of LDDU."""
