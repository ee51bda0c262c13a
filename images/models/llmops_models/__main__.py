"""`python -m llmops_models`."""

import sys

from llmops_models.cli import main

sys.exit(main(sys.argv[1:]))
