"""A small program that calls an LLM with the `openai` client. `otel-llm-sql demo` runs it.

Nothing in it knows about telemetry, but for one line: `session(...)` says which calls belong to one conversation.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

from openai import OpenAI, RateLimitError

from otel_llm_sql import session

client = OpenAI()  # OPENAI_BASE_URL and OPENAI_API_KEY come from the environment

WEATHER_TOOL: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city, now.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}

GUIDE = "You are the travel desk of Northwind Rail. " + " ".join(
    f"Rule {number}: say prices in EUR, name the platform, and offer the next train when one is full."
    for number in range(1, 46)
)


def chat() -> None:
    """One question, one answer."""
    messages: Any = [{"role": "user", "content": "What is the capital of France?"}]
    answer = client.chat.completions.create(model="gpt-4o-mini", messages=messages)
    print("chat:     ", answer.choices[0].message.content)


def stream() -> None:
    """The answer arrives in pieces; usage comes with the last one."""
    messages: Any = [{"role": "user", "content": "A haiku about databases, please."}]
    pieces = client.chat.completions.create(
        model="gpt-5-mini", messages=messages, stream=True, stream_options={"include_usage": True}
    )
    text = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
    print("stream:   ", text.replace("\n", " / "))


def tool_round_trip() -> None:
    """The model asks for a tool, the program runs it, the model answers with its result."""
    messages: Any = [{"role": "user", "content": "What is the weather in Paris?"}]
    first = client.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=[WEATHER_TOOL])
    call: Any = (first.choices[0].message.tool_calls or [])[0]
    city = json.loads(call.function.arguments)["city"]
    messages.append(first.choices[0].message.model_dump(exclude_none=True))
    messages.append({"role": "tool", "tool_call_id": call.id, "content": json.dumps({"city": city, "celsius": 18})})
    second = client.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=[WEATHER_TOOL])
    print("tool:     ", second.choices[0].message.content)


def embedding() -> None:
    """A text becomes a vector."""
    vector = client.embeddings.create(
        model="text-embedding-3-small", input="Every call leaves a row.", encoding_format="float"
    )
    print("embedding:", len(vector.data[0].embedding), "numbers")


def error() -> None:
    """A call that fails is a row too."""
    messages: Any = [{"role": "user", "content": "Think hard about trains."}]
    try:
        client.with_options(max_retries=0).chat.completions.create(model="gpt-5-pro", messages=messages)
    except RateLimitError as refused:
        print("error:    ", refused.status_code, refused.code)


def conversation() -> None:
    """Three turns; each call sends the whole history again."""
    messages: Any = [{"role": "system", "content": GUIDE}]
    with session(session_key=f"trip-{uuid.uuid4().hex[:8]}", workspace="demo", user_id="ada"):
        for question in ("Please book Lisbon to Porto on Friday.", "Is there a cheaper train?", "Thank you!"):
            messages.append({"role": "user", "content": question})
            answer = client.chat.completions.create(model="gpt-5-mini", messages=messages)
            messages.append({"role": "assistant", "content": answer.choices[0].message.content})
            print("session:  ", answer.choices[0].message.content)


if __name__ == "__main__":
    for step in (chat, stream, tool_round_trip, embedding, error, conversation):
        step()
