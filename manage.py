#!/usr/bin/env python
"""Django's own commands for a checkout; ``modelpool manage`` does the same for an installation."""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "modelpool.server.settings")
    execute_from_command_line(sys.argv)
