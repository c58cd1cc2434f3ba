"""A process of its own that delivers all made-up telemetry, in an order of its own: `deliver_process.py URL SEED`."""

from __future__ import annotations

import random
import sys
import time

import telemetry

from otel_llm_sql.settings import Settings
from otel_llm_sql.store.writer import Writer

writer = Writer(Settings(url=sys.argv[1], timeout=30))
for batch in telemetry.split(telemetry.everything(), random.Random(int(sys.argv[2]))):
    writer.write(batch, time.monotonic() + 60)
writer.close()
