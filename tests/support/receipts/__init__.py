"""A kind of request that is not in the package, made as docs/develop/how.rst says: a payload, its limits, one line."""
