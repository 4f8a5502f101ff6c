"""The customer's page heals itself: while it waits, it has Stripe asked."""

from datetime import timedelta

from payflow import reconcile

STATUS = "SELECT status, captured, refunded, found_by_sweep_at IS NOT NULL FROM payments"


def test_a_page_that_waits_has_stripe_asked_from_the_third_poll_on(
    completed, client, rows, work, pass_time
):
    completed()
    ((payment_id,),) = rows("SELECT id FROM payments")

    def poll(count):
        return client.get(f"/payments/{payment_id}/status?from=stripe&polls={count}").text

    def queued():
        return rows("SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'check_payment'")

    poll(1), poll(2)
    assert queued() == [(0,)]
    poll(3), poll(4)
    assert queued() == [(1,)]
    work()
    assert 'data-payment-status="paid"' in poll(5)
    assert rows(STATUS) == [("paid", 1250, 0, False)]


def test_a_page_has_stripe_asked_thirty_times_at_most(submit, client, rows, pass_time):
    submit()
    ((payment_id,),) = rows("SELECT id FROM payments")
    for count in range(3, 40):
        pass_time(timedelta(seconds=11))
        client.get(f"/payments/{payment_id}/status?from=stripe&polls={count}")
    assert rows("SELECT page_checks FROM payments") == [(reconcile.PAGE_CHECKS,)]
    assert rows("SELECT count(*) FROM procrastinate_jobs") == [(reconcile.PAGE_CHECKS,)]
