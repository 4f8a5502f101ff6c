"""What Stripe says, read from its dicts into facts, and merged. Pure: no database, no clock.

Merging is the same in any order and any number of times, so that deliveries may come twice, late
or never without changing where a payment ends. `tellings.py` says what was told and by whom; one
module each reads and merges attempts (sessions and PaymentIntents), refunds and disputes.
"""
