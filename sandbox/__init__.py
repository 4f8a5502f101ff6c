"""The outside world on a laptop: a stand-in for Stripe and a mailbox, in one process, no network.

Read in this order; each part's docstring says what is in it:

- ``api``           Stripe's API, under /v1
- ``objects``       sessions, payments, refunds, disputes: what Stripe keeps, and what becomes of it
- ``checkout``      the page where the customer pays
- ``webhooks``      events, and how they are delivered
- ``protocol``      what all of that speaks: parameters, refusals, ids, amounts, versions
- ``faults``        what goes wrong on purpose
- ``clock``         the stand-in's time; ``later``: what happens by itself, and when
- ``desk``          behind the scenes: pages for people, /_sandbox for tests
- ``mailbox``       SMTP, and pages of the letters
- ``settings``      the switches; ``recording``: every exchange and event as a line of JSON
- ``store``         SQLite; ``server``: HTTP; ``world``: what the views share; ``app`` and
                    ``__main__`` put it together

- ``demo``          no part of it: starts the whole of payflow on a laptop

Nothing here imports payflow, nor the other way round: they meet over HTTP and SMTP.
"""
