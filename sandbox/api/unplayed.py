"""The endpoints that Stripe has in this version and the sandbox does not play.

Whoever asks for one is told so, or would look for a mistake in a path that is right.
"""

import re
from collections.abc import Iterator

METHODS = {"D": "DELETE", "G": "GET", "P": "POST"}

# The letters of the methods and the path under /v1; {} stands for an id.
_WORDS = """
    P:account_links P:account_sessions GP:accounts DGP:accounts/{} P:accounts/{}/bank_accounts
    DGP:accounts/{}/bank_accounts/{} G:accounts/{}/capabilities GP:accounts/{}/capabilities/{}
    GP:accounts/{}/external_accounts DGP:accounts/{}/external_accounts/{}
    P:accounts/{}/login_links GP:accounts/{}/people DGP:accounts/{}/people/{}
    GP:accounts/{}/persons DGP:accounts/{}/persons/{} P:accounts/{}/reject GP:apple_pay/domains
    DG:apple_pay/domains/{} G:application_fees G:application_fees/{}
    P:application_fees/{}/refund GP:application_fees/{}/refunds
    GP:application_fees/{}/refunds/{} GP:apps/secrets P:apps/secrets/delete G:apps/secrets/find
    G:balance/history G:balance/history/{} GP:balance_settings GP:billing/alerts
    G:billing/alerts/{} P:billing/alerts/{}/activate P:billing/alerts/{}/archive
    P:billing/alerts/{}/deactivate G:billing/credit_balance_summary
    G:billing/credit_balance_transactions G:billing/credit_balance_transactions/{}
    GP:billing/credit_grants GP:billing/credit_grants/{} P:billing/credit_grants/{}/expire
    P:billing/credit_grants/{}/void P:billing/meter_event_adjustments P:billing/meter_events
    GP:billing/meters GP:billing/meters/{} P:billing/meters/{}/deactivate
    G:billing/meters/{}/event_summaries P:billing/meters/{}/reactivate
    GP:billing_portal/configurations GP:billing_portal/configurations/{}
    P:billing_portal/sessions P:charges G:charges/search P:charges/{}/capture
    GP:charges/{}/dispute P:charges/{}/dispute/close P:charges/{}/refund
    GP:charges/{}/refunds/{} GP:climate/orders GP:climate/orders/{} P:climate/orders/{}/cancel
    G:climate/products G:climate/products/{} G:climate/suppliers G:climate/suppliers/{}
    G:confirmation_tokens/{} G:country_specs G:country_specs/{} GP:coupons DGP:coupons/{}
    GP:credit_notes G:credit_notes/preview G:credit_notes/preview/lines GP:credit_notes/{}
    G:credit_notes/{}/lines P:credit_notes/{}/void P:customer_sessions GP:customers
    G:customers/search DGP:customers/{} GP:customers/{}/balance_transactions
    GP:customers/{}/balance_transactions/{} GP:customers/{}/bank_accounts
    DGP:customers/{}/bank_accounts/{} P:customers/{}/bank_accounts/{}/verify
    GP:customers/{}/cards DGP:customers/{}/cards/{} GP:customers/{}/cash_balance
    G:customers/{}/cash_balance_transactions G:customers/{}/cash_balance_transactions/{}
    DG:customers/{}/discount P:customers/{}/funding_instructions G:customers/{}/payment_methods
    G:customers/{}/payment_methods/{} GP:customers/{}/sources DGP:customers/{}/sources/{}
    P:customers/{}/sources/{}/verify GP:customers/{}/subscriptions
    DGP:customers/{}/subscriptions/{} DG:customers/{}/subscriptions/{}/discount
    GP:customers/{}/tax_ids DG:customers/{}/tax_ids/{} G:entitlements/active_entitlements
    G:entitlements/active_entitlements/{} GP:entitlements/features GP:entitlements/features/{}
    P:ephemeral_keys D:ephemeral_keys/{} G:exchange_rates G:exchange_rates/{}
    P:external_accounts/{} GP:file_links GP:file_links/{} GP:files G:files/{}
    G:financial_connections/accounts G:financial_connections/accounts/{}
    P:financial_connections/accounts/{}/disconnect G:financial_connections/accounts/{}/owners
    P:financial_connections/accounts/{}/refresh P:financial_connections/accounts/{}/subscribe
    P:financial_connections/accounts/{}/unsubscribe P:financial_connections/sessions
    G:financial_connections/sessions/{} G:financial_connections/transactions
    G:financial_connections/transactions/{} GP:forwarding/requests G:forwarding/requests/{}
    G:identity/verification_reports G:identity/verification_reports/{}
    GP:identity/verification_sessions GP:identity/verification_sessions/{}
    P:identity/verification_sessions/{}/cancel P:identity/verification_sessions/{}/redact
    G:invoice_payments G:invoice_payments/{} G:invoice_rendering_templates
    G:invoice_rendering_templates/{} P:invoice_rendering_templates/{}/archive
    P:invoice_rendering_templates/{}/unarchive GP:invoiceitems DGP:invoiceitems/{} GP:invoices
    P:invoices/create_preview G:invoices/search DGP:invoices/{} P:invoices/{}/add_lines
    P:invoices/{}/attach_payment P:invoices/{}/finalize G:invoices/{}/lines
    P:invoices/{}/lines/{} P:invoices/{}/mark_uncollectible P:invoices/{}/pay
    P:invoices/{}/remove_lines P:invoices/{}/send P:invoices/{}/update_lines P:invoices/{}/void
    G:issuing/authorizations GP:issuing/authorizations/{} P:issuing/authorizations/{}/approve
    P:issuing/authorizations/{}/decline GP:issuing/cardholders GP:issuing/cardholders/{}
    GP:issuing/cards GP:issuing/cards/{} GP:issuing/disputes GP:issuing/disputes/{}
    P:issuing/disputes/{}/submit GP:issuing/personalization_designs
    GP:issuing/personalization_designs/{} G:issuing/physical_bundles
    G:issuing/physical_bundles/{} GP:issuing/settlements/{} G:issuing/tokens
    GP:issuing/tokens/{} G:issuing/transactions GP:issuing/transactions/{}
    P:link_account_sessions G:link_account_sessions/{} G:linked_accounts G:linked_accounts/{}
    P:linked_accounts/{}/disconnect G:linked_accounts/{}/owners P:linked_accounts/{}/refresh
    G:mandates/{} G:payment_attempt_records G:payment_attempt_records/{} P:payment_intents
    G:payment_intents/search G:payment_intents/{}/amount_details_line_items
    P:payment_intents/{}/apply_customer_balance P:payment_intents/{}/capture
    P:payment_intents/{}/confirm P:payment_intents/{}/increment_authorization
    P:payment_intents/{}/verify_microdeposits GP:payment_links GP:payment_links/{}
    G:payment_links/{}/line_items GP:payment_method_configurations
    GP:payment_method_configurations/{} GP:payment_method_domains GP:payment_method_domains/{}
    P:payment_method_domains/{}/validate GP:payment_methods GP:payment_methods/{}
    P:payment_methods/{}/attach P:payment_methods/{}/detach P:payment_records/report_payment
    G:payment_records/{} P:payment_records/{}/report_payment_attempt
    P:payment_records/{}/report_payment_attempt_canceled
    P:payment_records/{}/report_payment_attempt_failed
    P:payment_records/{}/report_payment_attempt_guaranteed
    P:payment_records/{}/report_payment_attempt_informational P:payment_records/{}/report_refund
    GP:payouts GP:payouts/{} P:payouts/{}/cancel P:payouts/{}/reverse GP:plans DGP:plans/{}
    GP:prices G:prices/search GP:prices/{} GP:products G:products/search DGP:products/{}
    GP:products/{}/features DG:products/{}/features/{} GP:promotion_codes GP:promotion_codes/{}
    GP:quotes GP:quotes/{} P:quotes/{}/accept P:quotes/{}/cancel
    G:quotes/{}/computed_upfront_line_items P:quotes/{}/finalize G:quotes/{}/line_items
    G:quotes/{}/pdf P:radar/payment_evaluations GP:radar/value_list_items
    DG:radar/value_list_items/{} GP:radar/value_lists DGP:radar/value_lists/{}
    GP:reporting/report_runs G:reporting/report_runs/{} G:reporting/report_types
    G:reporting/report_types/{} G:reviews G:reviews/{} P:reviews/{}/approve G:setup_attempts
    GP:setup_intents GP:setup_intents/{} P:setup_intents/{}/cancel P:setup_intents/{}/confirm
    P:setup_intents/{}/verify_microdeposits GP:shipping_rates GP:shipping_rates/{}
    P:sigma/saved_queries/{} G:sigma/scheduled_query_runs G:sigma/scheduled_query_runs/{}
    P:sources GP:sources/{} G:sources/{}/mandate_notifications/{}
    G:sources/{}/source_transactions G:sources/{}/source_transactions/{} P:sources/{}/verify
    GP:subscription_items DGP:subscription_items/{} GP:subscription_schedules
    GP:subscription_schedules/{} P:subscription_schedules/{}/cancel
    P:subscription_schedules/{}/release GP:subscriptions G:subscriptions/search
    DGP:subscriptions/{} D:subscriptions/{}/discount P:subscriptions/{}/migrate
    P:subscriptions/{}/resume G:tax/associations/find P:tax/calculations G:tax/calculations/{}
    G:tax/calculations/{}/line_items GP:tax/registrations GP:tax/registrations/{}
    GP:tax/settings P:tax/transactions/create_from_calculation
    P:tax/transactions/create_reversal G:tax/transactions/{} G:tax/transactions/{}/line_items
    G:tax_codes G:tax_codes/{} GP:tax_ids DG:tax_ids/{} GP:tax_rates GP:tax_rates/{}
    GP:terminal/configurations DGP:terminal/configurations/{} P:terminal/connection_tokens
    GP:terminal/locations DGP:terminal/locations/{} P:terminal/onboarding_links
    GP:terminal/readers DGP:terminal/readers/{} P:terminal/readers/{}/cancel_action
    P:terminal/readers/{}/collect_inputs P:terminal/readers/{}/collect_payment_method
    P:terminal/readers/{}/confirm_payment_intent P:terminal/readers/{}/process_payment_intent
    P:terminal/readers/{}/process_setup_intent P:terminal/readers/{}/refund_payment
    P:terminal/readers/{}/set_reader_display P:terminal/refunds
    P:test_helpers/confirmation_tokens P:test_helpers/customers/{}/fund_cash_balance
    P:test_helpers/issuing/authorizations P:test_helpers/issuing/authorizations/{}/capture
    P:test_helpers/issuing/authorizations/{}/expire
    P:test_helpers/issuing/authorizations/{}/finalize_amount
    P:test_helpers/issuing/authorizations/{}/fraud_challenges/respond
    P:test_helpers/issuing/authorizations/{}/increment
    P:test_helpers/issuing/authorizations/{}/reverse
    P:test_helpers/issuing/cards/{}/shipping/deliver
    P:test_helpers/issuing/cards/{}/shipping/fail
    P:test_helpers/issuing/cards/{}/shipping/return
    P:test_helpers/issuing/cards/{}/shipping/ship
    P:test_helpers/issuing/cards/{}/shipping/submit
    P:test_helpers/issuing/personalization_designs/{}/activate
    P:test_helpers/issuing/personalization_designs/{}/deactivate
    P:test_helpers/issuing/personalization_designs/{}/reject P:test_helpers/issuing/settlements
    P:test_helpers/issuing/settlements/{}/complete
    P:test_helpers/issuing/transactions/create_force_capture
    P:test_helpers/issuing/transactions/create_unlinked_refund
    P:test_helpers/issuing/transactions/{}/refund
    P:test_helpers/terminal/readers/{}/present_payment_method
    P:test_helpers/terminal/readers/{}/succeed_input_collection
    P:test_helpers/terminal/readers/{}/timeout_input_collection GP:test_helpers/test_clocks
    DG:test_helpers/test_clocks/{} P:test_helpers/test_clocks/{}/advance
    P:test_helpers/treasury/inbound_transfers/{}/fail
    P:test_helpers/treasury/inbound_transfers/{}/return
    P:test_helpers/treasury/inbound_transfers/{}/succeed
    P:test_helpers/treasury/outbound_payments/{}
    P:test_helpers/treasury/outbound_payments/{}/fail
    P:test_helpers/treasury/outbound_payments/{}/post
    P:test_helpers/treasury/outbound_payments/{}/return
    P:test_helpers/treasury/outbound_transfers/{}
    P:test_helpers/treasury/outbound_transfers/{}/fail
    P:test_helpers/treasury/outbound_transfers/{}/post
    P:test_helpers/treasury/outbound_transfers/{}/return
    P:test_helpers/treasury/received_credits P:test_helpers/treasury/received_debits P:tokens
    G:tokens/{} GP:topups GP:topups/{} P:topups/{}/cancel GP:transfers GP:transfers/{}
    GP:transfers/{}/reversals GP:transfers/{}/reversals/{} GP:treasury/credit_reversals
    G:treasury/credit_reversals/{} GP:treasury/debit_reversals G:treasury/debit_reversals/{}
    GP:treasury/financial_accounts GP:treasury/financial_accounts/{}
    P:treasury/financial_accounts/{}/close GP:treasury/financial_accounts/{}/features
    GP:treasury/inbound_transfers G:treasury/inbound_transfers/{}
    P:treasury/inbound_transfers/{}/cancel GP:treasury/outbound_payments
    G:treasury/outbound_payments/{} P:treasury/outbound_payments/{}/cancel
    GP:treasury/outbound_transfers G:treasury/outbound_transfers/{}
    P:treasury/outbound_transfers/{}/cancel G:treasury/received_credits
    G:treasury/received_credits/{} G:treasury/received_debits G:treasury/received_debits/{}
    G:treasury/transaction_entries G:treasury/transaction_entries/{} G:treasury/transactions
    G:treasury/transactions/{}
"""


def operations() -> Iterator[tuple[str, str]]:
    """Method and path, such as ``("POST", "/v1/payment_intents/{}/capture")``."""
    for word in _WORDS.split():
        letters, _, path = word.partition(":")
        for letter in letters:
            yield METHODS[letter], f"/v1/{path}"


def _pattern(path: str) -> str:
    return "[^/]+".join(re.escape(part) for part in path.split("{}"))


_PATTERNS = {
    method: re.compile("|".join(_pattern(path) for each, path in operations() if each == method))
    for method in METHODS.values()
}


def is_unplayed(method: str, path: str) -> bool:
    """Call for paths that no endpoint of ours takes, and for those whose end looks like an id."""
    pattern = _PATTERNS.get("GET" if method == "HEAD" else method)
    return pattern is not None and pattern.fullmatch(path) is not None
