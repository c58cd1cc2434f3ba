"""A process of its own that delivers all recordings, in an order of its own: `deliver_corpus.py URL SEED`."""

from __future__ import annotations

import random
import sys

from test_corpus_orders import by_hundreds, deliver, everything

signals = everything()
random.Random(int(sys.argv[2])).shuffle(signals)
deliver(sys.argv[1], by_hundreds(signals))
