"""What is reached over HTTP, a blueprint per module; they never import each other."""
