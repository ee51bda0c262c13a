"""`python -m llmops_training`."""

import sys

from llmops_training.cli import main

sys.exit(main(sys.argv[1:]))
