"""Where the customer pays.

- ``hosted_page``   the page, and the bank's page after it
- ``payment_form``  judges what is typed there
"""
