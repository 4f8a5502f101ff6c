"""The payment form: prefilled by the URL, checked, and on to Stripe's page."""

import secrets
import unicodedata
from hashlib import sha256

from email_validator import EmailNotValidError, validate_email
from flask import Blueprint, current_app, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from flask_wtf.csrf import CSRFError
from markupsafe import Markup
from wtforms import EmailField, Field, HiddenField, SelectField, StringField
from wtforms.validators import DataRequired, Length, ValidationError

from payflow import checkout, errors, formats, i18n, limits, money
from payflow.config import current_settings
from payflow.gateway import GatewayError
from payflow.payments import Details

bp = Blueprint("checkout", __name__)


# What overrides, embeds or isolates the direction of text: Invoice 00.05 for Invoice 50.00. Letters
# run from right to left where they do without it; programs leave it behind in what is pasted.
DIRECTIONS = dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)))


def _cleaned(value: str | None) -> str | None:
    return value.translate(DIRECTIONS).strip() if value else value


def _printable(form: FlaskForm, field: Field) -> None:
    """Refuse what no page or letter could show: control characters, line ends, mere marks."""
    kinds = {unicodedata.category(character) for character in field.data or ""}
    if kinds & {"Cc", "Cs", "Zl", "Zp"}:
        raise ValidationError(_("Remove the control characters from this field"))
    if kinds and kinds <= {"Cf", "Zs"}:
        raise ValidationError(_("Write something that can be read"))


def _at_most(length: int) -> Length:
    return Length(max=length, message=_l("Write at most %(max)d characters"))


class PaymentForm(FlaskForm):  # type: ignore[misc]  # Flask-WTF comes without types
    amount = StringField(_l("Amount"), [DataRequired(_l("Enter the amount")), _at_most(30)])
    currency = SelectField(_l("Currency"), validate_choice=False)
    description = StringField(
        _l("What is it for?"),
        [DataRequired(_l("Say what the payment is for")), _at_most(200), _printable],
        filters=[_cleaned],
    )
    reference = StringField(_l("Your reference"), [_at_most(100), _printable], filters=[_cleaned])
    name = StringField(
        _l("Your name"),
        [DataRequired(_l("Enter your name")), _at_most(100), _printable],
        filters=[_cleaned],
    )
    email = EmailField(
        _l("E-mail for the receipt"),
        [DataRequired(_l("Enter your e-mail address")), _at_most(254)],
        filters=[_cleaned],
    )
    # A trap: people don't see it, and browsers have nothing to fill it in with. Programs do.
    subject = StringField(_l("Leave this empty"))
    nonce = HiddenField()
    # In which the amount was asked for: 1,250 is not the same in all.
    language = HiddenField()

    def validate_currency(self, field: Field) -> None:
        if field.data not in dict(field.choices):
            raise ValidationError(_("Choose one of the currencies in the list"))

    def validate_amount(self, field: Field) -> None:
        """Reads the amount into `minor`, in minor units; the limits are told in the currency."""
        settings, currency = current_settings(), self.currency.data
        if currency not in settings.currencies:
            return
        try:
            self.minor = money.parse(field.data, currency, i18n.locale_of(self.language.data))
        except money.AmountError as error:
            raise ValidationError(str(error)) from None
        smallest, largest = settings.minimum[currency], settings.maximum.get(currency)
        if self.minor < smallest:
            least = formats.for_reader(smallest, currency)
            raise ValidationError(_("Enter at least %(amount)s", amount=least))
        if largest is not None and self.minor > largest:
            most = formats.for_reader(largest, currency)
            raise ValidationError(_("Enter at most %(amount)s", amount=most))

    def validate_email(self, field: Field) -> None:
        try:
            valid = validate_email(field.data, check_deliverability=False, allow_smtputf8=False)
        except EmailNotValidError:
            message = _("Enter one e-mail address, like name@example.com")
            raise ValidationError(message) from None
        field.data = valid.ascii_email or valid.normalized

    def details(self) -> Details:
        return Details(
            amount=self.minor,
            currency=self.currency.data,
            description=self.description.data,
            reference=self.reference.data or "",
            name=self.name.data,
            email=self.email.data,
        )


@bp.get("/")
def form() -> ResponseReturnValue:
    """The form, prefilled by the URL: /?amount=25&currency=eur&description=Invoice+7"""
    form = _form(request.args)
    form.amount.data = money.rewrite(form.amount.data or "", i18n.locale())
    form.language.data = i18n.language()
    form.nonce.data, form.subject.data = secrets.token_urlsafe(16), ""
    # Known before the form is sent: two clicks at once must come from one browser.
    _browser()
    response = current_app.make_response(_page(form))
    # Not no-store: a browser that goes back is to show what was typed.
    response.headers["Cache-Control"] = "private, no-cache"
    return response


@bp.get("/checkout")
def form_again() -> ResponseReturnValue:
    """The address that a refused form leaves in the browser, when somebody comes back to it."""
    return redirect(url_for(".form"), 303)


@bp.post("/checkout")
def submit() -> ResponseReturnValue:
    """To Stripe's page, or back to the form with what is wrong."""
    form = _form(request.form)
    if form.subject.data:
        return _caught(form)
    is_right = form.validate()
    if "only" in request.form:
        # Only the language was to be another: nothing is begun.
        return _page(form), 200 if is_right else 422
    if not is_right:
        return _page(form), 422
    try:
        limits.count_form(form.email.data)
        destination = checkout.start(form.details(), _form_key(form.nonce.data))
    except limits.TooMany as error:
        return errors.too_many(error, _page(form, "too_many", error))
    except GatewayError as error:
        return errors.gateway_error(error, _page(form, "stripe", error))
    page = url_for("payments.show", payment_id=destination.payment_id)
    return redirect(destination.url or page, 303)


@bp.errorhandler(CSRFError)
def _not_ours(error: CSRFError) -> ResponseReturnValue:
    """The form anew, with what was typed: nothing comes of it until it is sent again."""
    return errors.csrf_error(error, _page(_form(request.form), "cookies"))


def _caught(form: PaymentForm) -> ResponseReturnValue:
    """What fell into the trap is answered as any mistake is, and tells a person how to go on."""
    limits.count_caught()
    current_app.logger.warning("form caught in the trap, from %s", limits.network())
    form.subject.data = ""
    return _page(form, "unread"), 422


def _form(values: object) -> PaymentForm:
    form = PaymentForm(values)
    settings = current_settings()
    form.currency.choices = [(code, code.upper()) for code in settings.currencies]
    form.currency.data = (form.currency.data or settings.currencies[0]).lower()
    return form


def _page(form: PaymentForm, refused: str = "", error: Exception | None = None) -> str:
    """The form, and why it was `refused` although nothing in it is wrong: form.html has words for
    each reason, and takes from the error what they name."""
    settings = current_settings()
    bounds = {
        currency: (settings.minimum[currency], settings.maximum.get(currency))
        for currency in settings.currencies
    }
    return render_template(
        "form.html",
        form=form,
        bounds=bounds,
        refused=refused,
        error=error,
        control=_control,
    )


def _control(field: Field, hint_id: str = "", **attributes: str) -> Markup:
    """A field's input, tied to its error and its hint."""
    ids = [f"{field.id}-error"] * bool(field.errors) + [hint_id] * bool(hint_id)
    if ids:
        attributes["aria-describedby"] = " ".join(ids)
    if field.errors:
        attributes["aria-invalid"] = "true"
    if field.type == "StringField":
        # What is typed runs from right to left where its letters do.
        attributes["dir"] = "auto"
    markup: Markup = field(**attributes)
    return markup


def _form_key(nonce: str | None) -> bytes:
    """A form in one browser: its nonce, bound to the signed cookie. Without a nonce, a new form."""
    return sha256(f"{_browser()}:{nonce or secrets.token_urlsafe(16)}".encode()).digest()


def _browser() -> str:
    """What the signed cookie knows this browser by."""
    browser: str = session.setdefault("browser", secrets.token_urlsafe(16))
    return browser
