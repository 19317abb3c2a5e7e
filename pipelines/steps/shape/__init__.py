"""Steps that give texts another shape: parts, tokens, features."""
