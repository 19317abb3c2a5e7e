"""Source of Hugging Face datasets."""
