"""Postgres for MLflow, its dumps, and the migration of MLflow's database."""
