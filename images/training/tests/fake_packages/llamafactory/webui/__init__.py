"""Stands for LLaMA Board where only its start is looked at."""
