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


def test_a_page_has_stripe_asked_thirty_times_quickly_and_then_every_five_minutes(
    submit, client, rows, pass_time
):
    """Who knows the address can slow a page down so, but not keep it from finding out."""
    submit()
    ((payment_id,),) = rows("SELECT id FROM payments")

    def asked_after(pause):
        pass_time(pause)
        client.get(f"/payments/{payment_id}/status?from=stripe&polls=40")
        ((count,),) = rows("SELECT page_checks FROM payments")
        return count

    quickly = [asked_after(timedelta(seconds=11)) for _ in range(33)]
    assert quickly == [*range(1, reconcile.PAGE_CHECKS + 1), *[reconcile.PAGE_CHECKS] * 3]
    assert asked_after(timedelta(minutes=4)) == reconcile.PAGE_CHECKS
    assert asked_after(timedelta(minutes=1)) == reconcile.PAGE_CHECKS + 1
    assert asked_after(timedelta(minutes=4)) == reconcile.PAGE_CHECKS + 1
    assert rows("SELECT count(*) FROM procrastinate_jobs") == [(reconcile.PAGE_CHECKS + 1,)]
