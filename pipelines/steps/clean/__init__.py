"""Steps that clean texts."""
