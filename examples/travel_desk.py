"""A travel desk that never closes: every few seconds the demo's program asks a stand-in for a model.

Nothing in it knows about telemetry; `opentelemetry-instrument` and the environment bring that. `ROUNDS=1` ends it after
the first round.
"""

from __future__ import annotations

import os
import time

from otel_llm_sql.demo import stand_in

with stand_in.running() as url:
    os.environ |= {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "none"}
    from otel_llm_sql.demo import app  # its client reads the environment when it is imported

    rounds = int(os.environ.get("ROUNDS", "1000000000"))
    for number in range(rounds):
        for step in (app.chat, app.stream, app.tool_round_trip, app.embedding, app.error, app.conversation):
            step()
        if number < rounds - 1:
            time.sleep(5)
