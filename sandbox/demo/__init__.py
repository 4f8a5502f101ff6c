"""The whole of payflow on a laptop, ``make demo``. No part of the stand-in, which it starts.

- ``__main__``      what is started, in which order, and started again
- ``place``         its ports and its folder
- ``processes``     programs under a supervisor, on a ``leash``
- ``postgres``      a Postgres of our own; the tests and the benchmark have theirs from here too
"""
