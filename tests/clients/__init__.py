"""What is built from ``clients/`` and committed."""
