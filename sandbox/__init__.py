"""The outside world on a laptop: a stand-in for Stripe and a mailbox, in one process, no network.

Read in this order:

- ``api``           who asks Stripe's API under /v1, and the answer kept for a key; ``endpoints``:
                    what there is; ``forms``, ``checks``, ``session_parameters`` judge what is sent,
                    ``errors`` is how it refuses, and ``unplayed`` what it does not play at all;
                    ``idempotency``, ``expand``, ``lists``,
                    ``versions`` (older shapes) are what all endpoints share
- ``sessions``      a Checkout Session's life, with ``line_items``; ``payments``: what each try
                    makes of a PaymentIntent and its charge (``payment_shapes``), ``debits``: what
                    the bank says later; ``payment_intents``, ``charges``: what the merchant may
                    change of them
- ``refunds``, ``disputes`` with ``dispute_shapes``, ``balance``: life after payment; ``account``
- ``hosted_page``   where the customer pays; ``payment_form`` judges what is typed there; ``cards``
                    and ``bank_debits``: what to type
- ``events``        what happened, as Stripe tells it (``event_types``, written by ``indented``);
                    ``webhook_endpoints``: to whom; ``outbox``: what is to be delivered, again or
                    no more; ``deliveries`` carries it there, each of the ``sendings`` by
                    ``webhook_client`` under ``signatures``
- ``faults``        what goes wrong on purpose; ``faulty_api`` plays those of the API, ``presets``
                    makes whole days of them
- ``clock``         the stand-in's time; ``later``: what happens by itself, and when
- ``actions``       /_sandbox's desk: the clock moved, what people and banks do
- ``mailbox``       the SMTP server and the letters' pages; ``letters`` reads them
- ``recording``     --record: every exchange and event as a line of JSON
- ``control``       /_sandbox for tests, with the switches of ``settings`` and the ``request_log``;
                    ``pages``, ``payment_page`` and ``controls_page`` for people, with ``paging``
                    and ``notes``
- ``store``         SQLite; ``server`` HTTP; ``world`` what the views share; ``ids``, ``money``;
                    ``app`` and ``__main__`` put it together
- ``demo``          the whole of payflow on a laptop: ``place``, ``processes``, ``postgres``,
                    ``leash``

Nothing here imports payflow, nor the other way round: they meet over HTTP and SMTP.
"""
