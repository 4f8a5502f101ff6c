"""How Stripe's API speaks, whatever it is asked.

- ``forms``         nested form encoding; ``checks``: one parameter each; ``errors``: how it refuses
- ``idempotency``   the first answer again for a key
- ``versions``      the shapes objects had in older versions
- ``ids``, ``money``
"""
