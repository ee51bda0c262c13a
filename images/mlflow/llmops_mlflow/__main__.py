"""`python -m llmops_mlflow`."""

import sys

from llmops_mlflow.cli import main

sys.exit(main(sys.argv[1:]))
