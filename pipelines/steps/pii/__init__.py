"""Finding what tells who a person is, and what opens a person's doors: numbers, addresses, keys."""
