"""A kind of request that the package does not have, made as docs/how.rst says: a payload, its limits, and one line."""
