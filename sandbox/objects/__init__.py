"""What Stripe keeps, and what becomes of it.

- ``sessions``      a Checkout Session's life, with ``line_items``; made of
                    ``session_parameters``
- ``payments``      what each try makes of a PaymentIntent and its charge (``payment_shapes``);
                    ``debits``: what the bank says later
- ``cards``         the test cards; ``bank_debits``: the test accounts
- ``payment_intents``, ``charges``: what the merchant may change of them
- ``refunds``, ``disputes`` with ``dispute_shapes``, ``balance``: life after payment; ``account``
- ``lists``         a page of them at a time
"""
