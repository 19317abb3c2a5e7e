"""Finding texts that are nearly the same: shingles, MinHash signatures, candidate pairs, clusters."""
