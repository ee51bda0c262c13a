"""Entry point of the inference image: check the model folder, then become the server."""
