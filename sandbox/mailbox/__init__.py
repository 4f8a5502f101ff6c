"""The mailbox.

- ``mailbox``       the SMTP server and the letters' pages; ``letters`` reads them
"""
