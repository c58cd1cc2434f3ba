"""Who was asked for which model, which one answered, and how: OpenInference has one attribute for all models."""

from __future__ import annotations

from typing import Any

from otel_llm_sql.conventions.bodies import Body, text
from otel_llm_sql.conventions.openinference_content import Content, asked_model
from otel_llm_sql.conventions.providers import provider_name
from otel_llm_sql.conventions.table import Findings
from otel_llm_sql.intake.signal import Signal

SCOPE = "openinference.instrumentation."
_ASKS = tuple(
    f"{SCOPE}{name}"
    for name in ("agno", "bedrock", "dspy", "instructor", "litellm", "llama_index", "openai_agents", "smolagents")
)
"""Scopes whose `llm.model_name` is the model that was asked for, wherever the response does not name another."""

_CLIENTS = {
    f"{SCOPE}anthropic": "anthropic",
    f"{SCOPE}bedrock": "aws.bedrock",
    f"{SCOPE}google_genai": "gcp.gemini",
    f"{SCOPE}groq": "groq",
    f"{SCOPE}mistralai": "mistral_ai",
    f"{SCOPE}openai": "openai",
    f"{SCOPE}vertexai": "gcp.vertex_ai",
}
"""Whose client a scope instruments: who was asked, where the SDK's limit dropped the attribute that says it."""


def take_models(signal: Signal, found: Findings, content: Content, parameters: Any) -> None:
    """Who was asked for which model, and which one answered."""
    values, take, scope = found.values, found.values.pop, signal.scope_name or ""
    sent, back = content.sent or Body(), content.back or Body()
    host, system = take("host", None), take("system_name", None)
    if host == "gcp.gemini" and system == "gcp.vertex_ai":
        host = system
    values["provider"] = host or system or values.get("provider") or _CLIENTS.get(scope)
    nobody_answered = signal.status == "error" or values["operation_type"] == "embeddings"
    echo = "id" in parameters  # openai-agents: what came back, without what was said
    named, served, asked = (take(field, None) for field in ("named", "served", "asked"))
    served = back.model or served or values.get("model") or (asked_model(parameters) if echo else None)
    asked = asked or sent.model or (None if echo else asked_model(parameters))
    if named and not served and not asked and (scope.startswith(_ASKS) or nobody_answered):
        asked = named
    else:
        served = served or named
    asked = asked or values.get("request_model")
    for field, model in (("model", served), ("request_model", asked)):
        values[field] = found.cleaner.bounded(field, _without_provider(model, values["provider"]))
    response_id = content.response_id() or values.get("response_id") or (text(parameters.get("id")) if echo else None)
    values["response_id"] = found.cleaner.bounded("response_id", response_id)
    reason = take("reason", None)
    reasons = back.finish_reasons or values.get("finish_reasons") or ([reason] if reason else None)
    if reasons:
        values["finish_reasons"] = [found.cleaner.bounded("finish_reason", one, 64) for one in reasons]
    for field in ("model", "request_model", "response_id", "provider"):
        if values[field] is None:
            del values[field]


def _without_provider(model: str | None, provider: str | None) -> str | None:
    """LiteLLM's `provider/model` is that provider's model."""
    prefix, slash, name = (model or "").partition("/")
    return name if slash and name and provider_name(prefix) == provider else model
