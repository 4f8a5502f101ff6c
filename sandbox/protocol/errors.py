"""What the API refuses, in Stripe's envelope. Texts follow Stripe's where they are known."""

from sandbox.store import JsonDict

DOC_URL = "https://stripe.com/docs/error-codes/"
# Stripe's leads into the Dashboard; there is none here, so nothing is to be found under it.
LOG_URL = "https://dashboard.stripe.com/test/logs/{}"


class ApiError(Exception):
    """An answer of 4xx or 5xx; ``type``, ``code``, ``param`` as Stripe's error object has them."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        kind: str = "invalid_request_error",
        should_retry: bool | None = None,
        retry_after_s: int | None = None,
        **more: str,
    ) -> None:
        """``more`` goes into the error object as it is: ``decline_code``, ``charge`` and such."""
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.kind = kind
        self.should_retry = False if should_retry is None and status == 402 else should_retry
        self.retry_after_s = retry_after_s
        self.more = more

    @property
    def kept(self) -> bool:
        """Whether an idempotency key remembers it: what came once the work had begun."""
        return self.status == 402 or self.status >= 500

    def envelope(self, request_id: str | None = None) -> JsonDict:
        error: JsonDict = {"message": self.message, "type": self.kind} | self.more
        if self.code:
            error |= {"code": self.code, "doc_url": DOC_URL + self.code.replace("_", "-")}
        if self.param:
            error["param"] = self.param
        if request_id:
            error["request_log_url"] = LOG_URL.format(request_id)
        return {"error": error}


def unknown_parameters(params: list[str]) -> ApiError:
    """All of them in one answer; ``param`` is the first."""
    word = "parameter" if len(params) == 1 else "parameters"
    return ApiError(
        400,
        f"Received unknown {word}: {', '.join(params)}",
        code="parameter_unknown",
        param=params[0],
    )


def missing_parameter(param: str) -> ApiError:
    return ApiError(400, f"Missing required param: {param}.", code="parameter_missing", param=param)


def not_found(kind: str, object_id: str, param: str = "id", status: int = 404) -> ApiError:
    return ApiError(status, f"No such {kind}: '{object_id}'", code="resource_missing", param=param)
