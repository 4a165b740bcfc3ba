"""What a command's exit status says."""

from __future__ import annotations

DONE = 0
UNHEALTHY = 1
BAD_INPUT = 2
DIVERGED = 3
INTERRUPTED = 130
TERMINATED = 143

TEXT = """\
exit status:
  0    done
  1    doctor: the network can't learn; bench: entrants don't agree
  2    a mistake in the input or in an option, or the machine lacks something: a file, a package,
       memory, room on the disk
  3    training diverged: a gradient was not finite, or the loss of the last epoch
  130  interrupted by Ctrl-C (128 + SIGINT, as shells count)
  143  ended by SIGTERM (128 + SIGTERM); train and doctor --cure have written the model to --save"""
"""For ``--help`` of every command."""
