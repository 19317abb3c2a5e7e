"""Steps that choose and bring together rows for what a corpus is to be used for."""
