"""Behind the scenes, for people and for tests. No part of Stripe.

- ``actions``       the clock moved, what people and banks do
- ``control``       switches and resets; ``presets`` turn many at once
- ``pages``         payments, events, deliveries; ``payment_page``: one payment; ``controls_page``
- ``paging``, ``notes``: what these pages share
- ``dashboard_links``  addresses of Stripe's Dashboard, which lead to these pages
"""
