"""Prints where every thread of a process stands: python3 -X faulthandler, then kill -ABRT."""

import faulthandler

faulthandler.enable()
