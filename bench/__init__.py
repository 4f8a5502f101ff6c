"""payflow beside a bare program on the same server, database and load: `make bench`.

`bare.py` is the yardstick, `deliveries.py` what is asked of both, `load.py` asks, and `__main__.py`
starts it all, takes turns and prints the ratios. What it says is in README.md.
"""
