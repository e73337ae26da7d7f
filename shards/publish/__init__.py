"""A finished run as a dataset repository of the Hugging Face hub."""
