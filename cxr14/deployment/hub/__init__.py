"""A trained network as a folder for Hugging Face's hub."""
