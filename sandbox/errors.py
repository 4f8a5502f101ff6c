"""What the API refuses, in Stripe's envelope. Texts follow Stripe's where they are known."""

from sandbox.store import JsonDict

DOC_URL = "https://stripe.com/docs/error-codes/"


class ApiError(Exception):
    """An answer of 4xx: ``type``, ``code`` and ``param`` as Stripe's error object names them."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        kind: str = "invalid_request_error",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.kind = kind

    def envelope(self) -> JsonDict:
        error: JsonDict = {"message": self.message, "type": self.kind}
        if self.code:
            error |= {"code": self.code, "doc_url": DOC_URL + self.code.replace("_", "-")}
        if self.param:
            error["param"] = self.param
        return {"error": error}


def unknown_parameter(param: str) -> ApiError:
    return ApiError(
        400, f"Received unknown parameter: {param}", code="parameter_unknown", param=param
    )


def missing_parameter(param: str) -> ApiError:
    return ApiError(400, f"Missing required param: {param}.", code="parameter_missing", param=param)


def not_found(kind: str, object_id: str, param: str = "id") -> ApiError:
    return ApiError(404, f"No such {kind}: '{object_id}'", code="resource_missing", param=param)
