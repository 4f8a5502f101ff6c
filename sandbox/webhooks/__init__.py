"""What happened, and how the merchant hears of it.

- ``events``        as Stripe tells them (``event_types``, written by ``indented``)
- ``webhook_endpoints``  to whom
- ``outbox``        what is to be delivered, again or no more
- ``deliveries``    carries it there, each of the ``sendings`` by ``webhook_client`` under
                    ``signatures``
"""
