"""Switches on the installed instrumentations of GenAI libraries, and no others.

Installed means: registered under the entry point group `opentelemetry_instrumentor`, as OpenTelemetry's own packages,
OpenInference's and OpenLLMetry's are. Several for one library do no harm: the store makes one operation of their spans.
"""

from __future__ import annotations

import logging
import os
import re
from importlib.metadata import EntryPoint, entry_points
from typing import Any

GENAI_LIBRARIES = (
    "agentframework",
    "agno",
    "alephalpha",
    "anthropic",
    "autogen",
    "bedrock",
    "beeai",
    "claude",
    "cohere",
    "crewai",
    "dspy",
    "google_adk",
    "google_genai",
    "google_generativeai",
    "groq",
    "haystack",
    "instructor",
    "langchain",
    "langgraph",
    "litellm",
    "llama_index",
    "mcp",
    "mistral",
    "ollama",
    "openai",
    "portkey",
    "pydantic_ai",
    "replicate",
    "sagemaker",
    "semantic_kernel",
    "smolagents",
    "strands",
    "together",
    "transformers",
    "vertexai",
    "voyageai",
    "watsonx",
    "writer",
)
"""What the names of instrumentations of GenAI libraries begin with, punctuation aside.

`botocore` is not among them although it reports calls to Bedrock: it would report every other call to AWS as well.
Switch it on yourself where that is wanted.
"""

_logger = logging.getLogger(__name__)


def switch_on(**providers: Any) -> tuple[str, ...]:
    """Instrument the GenAI libraries that are installed, unless they are instrumented already.

    Instrumentations named in OTEL_PYTHON_DISABLED_INSTRUMENTATIONS are left off. One that does not fit the installed
    version of its library, or fails, is skipped with a line in the log.

    Args:
        **providers: `tracer_provider` and `logger_provider` the instrumentations are to use.

    Returns:
        Names of the instrumentations that were switched on now.
    """
    disabled = {name.strip() for name in os.environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").split(",")}
    if "*" in disabled:
        return ()
    found = [entry for entry in entry_points(group="opentelemetry_instrumentor") if is_genai(entry)]
    return tuple(entry.name for entry in found if entry.name not in disabled and _switched_on(entry, providers))


def is_genai(entry: EntryPoint) -> bool:
    """Whether an entry point of `opentelemetry_instrumentor` instruments a GenAI library."""
    name = _letters(entry.name)
    return ".genai." in entry.value or any(name.startswith(_letters(library)) for library in GENAI_LIBRARIES)


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _switched_on(entry: EntryPoint, providers: dict[str, Any]) -> bool:
    try:
        instrumentor = entry.load()()
        if instrumentor.is_instrumented_by_opentelemetry or not _fits(entry.name, instrumentor):
            return False
        instrumentor.instrument(skip_dep_check=True, **providers)
    except ModuleNotFoundError as error:
        _logger.debug("instrumentation %s is skipped: %s is not installed", entry.name, error.name)
        return False
    except Exception as error:  # noqa: BLE001 - foreign code; the others are to work
        _logger.warning("instrumentation %s is skipped: %s: %s", entry.name, type(error).__name__, error)
        return False
    return True


def _fits(name: str, instrumentor: Any) -> bool:
    """Whether the library is installed, in a version that the instrumentation is made for."""
    from opentelemetry.instrumentation.dependencies import get_dependency_conflicts

    conflict = get_dependency_conflicts(instrumentor.instrumentation_dependencies())
    if conflict is not None:
        # Not installed is no news; the wrong version is.
        level = logging.WARNING if conflict.found else logging.DEBUG
        _logger.log(level, "instrumentation %s is skipped: %s", name, conflict)
    return conflict is None
