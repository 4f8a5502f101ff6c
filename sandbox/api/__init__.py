"""Stripe's API, under ``/v1``.

- ``calls``         who asks, in which version, and the answer kept for a key: what all calls share
- ``endpoints``     what there is: a few lines each that name the work
- ``expand``        ids replaced by the objects they name
- ``unplayed``      what Stripe has and this does not play
- ``faulty_api``    the faults, played
- ``request_log``   the calls received, for tests that count them
"""
