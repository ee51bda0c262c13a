"""Brings models to a volume and takes trained models back to a repository."""
