"""Entry point of the training image: train with LLaMA-Factory, report to MLflow, merge."""
