"""A picture decoder that breaks, as one does on a picture made for it."""

import os
import signal

os.kill(os.getpid(), signal.SIGSEGV)
