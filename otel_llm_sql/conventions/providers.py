"""One name for each provider: the values of `gen_ai.provider.name`, whatever the source called it."""

from __future__ import annotations

import re

_SPELLINGS: dict[str, tuple[str, ...]] = {
    "anthropic": ("anthropic.messages", "claude"),
    "aws.bedrock": ("aws", "bedrock", "aws_bedrock", "amazon_bedrock", "amazon.bedrock", "bedrock_converse"),
    "azure.ai.inference": ("az.ai.inference", "azure_ai", "azure_ai_inference"),
    "azure.ai.openai": ("azure", "az.ai.openai", "azure_openai", "azure.openai", "azureopenai"),
    "cohere": ("cohere_chat", "cohereai"),
    "deepseek": ("deep_seek",),
    "fireworks": ("fireworks_ai",),
    "gcp.gemini": (
        "gemini",
        "google",
        "gcp.gen_ai",
        "google_genai",
        "google_gla",
        "google_generativeai",
        "google_ai_studio",
        "googleai",
    ),
    "gcp.vertex_ai": (
        "vertex_ai",
        "vertexai",
        "vertex_ai_beta",
        "google_vertexai",
        "google_vertex",
        "google_vertex_ai",
        "google.vertex",
        "vertex.anthropic",
    ),
    "groq": ("groq.chat",),
    "huggingface": ("hugging_face", "hf"),
    "ibm.watsonx.ai": ("watsonx", "ibm_watsonx", "ibm.watsonx", "watsonx_ai", "watsonx.ai"),
    "mistral_ai": ("mistral", "mistralai", "mistral.ai"),
    "moonshot_ai": ("moonshot", "moonshotai"),
    "ollama": ("ollama_chat",),
    "openai": (
        "openai.chat",
        "openai.responses",
        "openai.embedding",
        "openai_chat",
        "openai_responses",
        "text_completion_openai",
    ),
    "perplexity": ("perplexity_ai",),
    "together_ai": ("together", "togetherai"),
    "x_ai": ("xai", "x.ai", "grok"),
}

_FRAMEWORKS = frozenset(
    {
        "ag2",
        "agent_framework",
        "agno",
        "autogen",
        "crewai",
        "dspy",
        "gcp.vertex.agent",
        "google_adk",
        "haystack",
        "instructor",
        "langchain",
        "langgraph",
        "litellm",
        "llama_index",
        "llamaindex",
        "microsoft.agent_framework",
        "openai_agents",
        "pydantic_ai",
        "pydantic.ai",
        "semantic_kernel",
        "smolagents",
        "strands",
        "strands_agents",
        "traceloop",
        "unknown",
        "_other",
    }
)
"""Frameworks that put their own name where the provider's belongs: they say nothing about who was asked."""

_APIS = frozenset(
    {
        *("chat", "completion", "completions", "embedding", "embeddings", "generative_ai", "image", "language_model"),
        *("messages", "rerank", "reranking", "responses", "speech", "text_embedding", "transcription"),
    }
)
"""What follows the provider's name in Vercel's: `azure.responses`, `google.vertex.chat`, `google.generative-ai`."""

_NAMES = {spelling: name for name, spellings in _SPELLINGS.items() for spelling in spellings}


def provider_name(value: str) -> str | None:
    """The provider by OpenTelemetry's name for it; unknown ones in lower case, None for a framework's name."""
    name = value.strip().lower()
    key = name.replace("-", "_").replace(" ", "_")
    if key in _FRAMEWORKS:
        return None
    if key in _NAMES or key in _SPELLINGS:
        return _NAMES.get(key, key)
    company, _, api = name.rpartition(".")
    return provider_name(company) if company and api.replace("-", "_") in _APIS else name


_OF_BEDROCK = re.compile(
    r"(?:(?:us|eu|apac|jp|au|ca|us-gov|global)\.)?"
    r"(?:ai21|amazon|anthropic|cohere|deepseek|luma|meta|mistral|openai|qwen|stability|twelvelabs|writer)"
    r"\.[a-z0-9.-]+(?::[0-9]+)?"
)


def provider_of_model(model: str) -> str | None:
    """The only provider that names its models this way: `us.anthropic.claude-sonnet-4-5-20250929-v1:0` is Bedrock's."""
    return "aws.bedrock" if _OF_BEDROCK.fullmatch(model) else None
