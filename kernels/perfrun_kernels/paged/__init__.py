"""A decoder over a paged cache of keys and values, which finds shared prefixes again."""
