"""Stands for LLaMA-Factory where only its chat is used."""
