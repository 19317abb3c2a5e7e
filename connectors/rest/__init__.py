"""Source of paged JSON over HTTP."""
