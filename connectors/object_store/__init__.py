"""Files in object stores: how a store is reached, listed, read and written, and what its faults mean."""
