"""The forget data, encrypted: one key a request, destroyed when it is no longer needed."""
