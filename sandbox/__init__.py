"""The outside world on a laptop: a stand-in for Stripe and a mailbox, in one process, no network.

Read in this order:

- ``api``           Stripe's API under /v1; ``forms``, ``checks``, ``session_parameters`` judge what
                    it is sent, ``errors`` is how it refuses, ``idempotency``, ``expand`` and
                    ``lists`` are what all of its endpoints share
- ``sessions``      a Checkout Session's shape and life; ``payments``: PaymentIntents and charges
- ``hosted_page``   where the customer pays; ``cards``: the test cards
- ``events``        what happened, as Stripe tells it; ``deliveries`` carries it to the endpoint
                    under ``signatures``; ``clock`` does what time alone brings about
- ``mailbox``       the SMTP server and the letters' pages
- ``control``       /_sandbox for tests, with the switches of ``settings``; ``pages`` for people
- ``store``         SQLite; ``server`` HTTP; ``app`` and ``__main__`` put it together

Nothing here imports payflow, nor the other way round: they meet over HTTP and SMTP.
"""
