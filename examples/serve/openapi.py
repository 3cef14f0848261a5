"""What `GET /openapi.json` says: the routes, what they take, and every answer that they give."""

from pictures import Digit

MAP = {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}}
ANSWER = {
    "type": "object",
    "required": ["digit", "probabilities", "model"],
    "properties": {
        "digit": {"type": "integer", "minimum": 0, "maximum": 9},
        "probabilities": {
            "type": "array",
            "items": {"type": "number", "minimum": 0, "maximum": 1},
            "minItems": 10,
            "maxItems": 10,
        },
        "model": {"type": "string"},
    },
}
EXPLANATION = {
    **ANSWER,
    "required": [*ANSWER["required"], "picture", "maps", "saliency"],
    "properties": {
        **ANSWER["properties"],
        "picture": MAP,
        "maps": {"type": "array", "items": MAP},
        "saliency": MAP,
    },
}
ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}},
}
REFUSALS = {
    413: "more bytes than allowed",
    415: "a body that is neither JSON nor a picture file",
    422: "no picture of a digit, and why",
    429: "more requests a second than allowed",
    500: "the server failed",
    503: "too many requests wait",
    504: "no answer in time",
}
FILE = {"schema": {"type": "string", "format": "binary"}}


def _answered(schema, description="the answer"):
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _route(summary, schema):
    digit = {"schema": Digit.model_json_schema()}
    content = {"application/json": digit, "image/png": FILE, "image/jpeg": FILE}
    refusals = {str(status): _answered(ERROR, text) for status, text in REFUSALS.items()}
    return {
        "post": {
            "summary": summary,
            "requestBody": {"required": True, "content": content},
            "responses": {"200": _answered(schema), **refusals},
        }
    }


HEALTH = {
    "type": "object",
    "required": ["status", "model", "accuracy"],
    "properties": {
        "status": {"const": "ok"},
        "model": {"type": "string"},
        "accuracy": {"type": "number"},
    },
}
SCHEMA = {
    "openapi": "3.1.0",
    "info": {"title": "Handwritten digits", "version": "1"},
    "paths": {
        "/predict": _route("Which digit a picture shows", ANSWER),
        "/explain": _route("Which digit, and what the network looked at", EXPLANATION),
        "/health": {"get": {"summary": "The model", "responses": {"200": _answered(HEALTH)}}},
        "/metrics": {
            "get": {
                "summary": "Figures for Prometheus",
                "responses": {"200": {"description": "text", "content": {"text/plain": {}}}},
            }
        },
    },
}
