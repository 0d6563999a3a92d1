"""Edge out: the providers we call. One dialect a file: codec, closed code table, capabilities."""
