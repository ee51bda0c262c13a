"""`python -m llmops_inference`."""

import sys

from llmops_inference.cli import main

sys.exit(main(sys.argv[1:]))
