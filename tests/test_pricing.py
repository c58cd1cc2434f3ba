"""Costs: reported wins, then the user's own file, then the catalogue, else an honest unknown; never an exception."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from genai_prices import Usage, calc_price
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import TimeOfDateConstraint
from hypothesis import given
from hypothesis import strategies as st

from otel_llm_sql.errors import SettingsError
from otel_llm_sql.pricing import COST_UNKNOWN, Prices
from otel_llm_sql.records import Operation

pytestmark = pytest.mark.quick

TODAY = datetime(2026, 11, 1, 12, tzinfo=UTC)


def call(when: datetime = TODAY, **fields: Any) -> Operation:
    """One model call; by default a chat with gpt-4o of 1000 + 100 tokens."""
    given_fields: dict[str, Any] = {
        "operation_type": "chat",
        "provider": "openai",
        "model": "gpt-4o",
        "input_tokens": 1000,
        "output_tokens": 100,
        **fields,
    }
    source = given_fields.pop("source", "span")
    return Operation(source, "0" * 32, "0" * 16, None, None, None, int(when.timestamp() * 1e6), **given_fields)


def priced(operation: Operation, prices_file: str | None = None) -> Operation:
    Prices(prices_file).price(operation)
    return operation


CALLS = {
    "plain": {},
    "cached": {"input_tokens": 10_000, "cache_read_input_tokens": 8_000},
    "cached, dated model": {"model": "gpt-4o-2024-08-06", "input_tokens": 10_000, "cache_read_input_tokens": 8_000},
    "cache written": {
        "provider": "anthropic",
        "model": "claude-sonnet-4-5-20250929",
        "input_tokens": 9_000,
        "cache_read_input_tokens": 3_000,
        "cache_write_input_tokens": 5_000,
    },
    "just below the long context": {"provider": "anthropic", "model": "claude-sonnet-4-5", "input_tokens": 200_000},
    "long context": {"provider": "anthropic", "model": "claude-sonnet-4-5", "input_tokens": 250_000},
    "long context, cached": {
        "provider": "gcp.gemini",
        "model": "gemini-2.5-pro",
        "input_tokens": 300_000,
        "cache_read_input_tokens": 100_000,
    },
    "historic": {"model": "o3", "when": datetime(2025, 6, 1, tzinfo=UTC)},
    "today": {"model": "o3"},
    "batch": {"model": "gpt-5", "service_tier": "batch"},
    "flex": {"model": "gpt-5", "service_tier": "flex"},
    "priority": {"model": "gpt-5", "service_tier": "priority"},
    "default tier": {"model": "gpt-5", "service_tier": "default"},
    "reasoning": {"model": "gpt-5", "output_tokens": 900, "reasoning_output_tokens": 800},
    "embeddings": {"model": "text-embedding-3-small", "operation_type": "embeddings", "output_tokens": None},
    "off-peak starts": {
        "provider": "deepseek",
        "model": "deepseek-reasoner",
        "when": datetime(2025, 7, 1, 16, 31, tzinfo=UTC),
    },
    "off-peak not yet": {
        "provider": "deepseek",
        "model": "deepseek-reasoner",
        "when": datetime(2025, 7, 1, 16, 29, tzinfo=UTC),
    },
    "per request": {"provider": "perplexity", "model": "sonar"},
    "bedrock": {"provider": "aws.bedrock", "model": "us.anthropic.claude-3-5-sonnet-20240620-v1:0"},
    "azure": {"provider": "azure.ai.openai", "model": "gpt-4o-2024-11-20"},
    "resold, batch": {"provider": "azure", "model": "gpt-5", "service_tier": "batch"},
    "mistral": {"provider": "mistral_ai", "model": "mistral-large-latest"},
    "no provider": {"provider": None, "model": "claude-sonnet-4-5"},
}


@pytest.mark.parametrize("fields", CALLS.values(), ids=CALLS)
def test_equals_the_catalogues_own_calculation(fields: dict[str, Any]) -> None:
    """Cached reads and writes, tiers, long contexts, dates: the same dollars as genai-prices itself."""
    operation = call(**fields)
    tier = operation.service_tier
    batch = {"processing": "batch"}
    expected = calc_price(
        Usage(
            input_tokens=operation.input_tokens,
            output_tokens=operation.output_tokens,
            cache_read_tokens=operation.cache_read_input_tokens,
            cache_write_tokens=operation.cache_write_input_tokens,
            output_reasoning_tokens=operation.reasoning_output_tokens,
        ),
        str(operation.model),
        provider_id=operation.provider,
        genai_request_timestamp=datetime.fromtimestamp(operation.timestamp / 1e6, UTC),
        price_context=(batch if tier == "batch" else {"service_tier": tier}) if tier else None,
    )
    priced(operation)
    assert operation.cost == pytest.approx(float(expected.total_price), rel=1e-12)
    assert operation.cost
    assert operation.cost_source == "catalog"
    assert COST_UNKNOWN not in operation.extras


def test_known_dollars() -> None:
    """Four figures from price lists, so that a catalogue and we cannot be wrong together."""
    million = {"input_tokens": 1_000_000, "output_tokens": 0}
    assert priced(call(model="o3", when=datetime(2025, 6, 1, tzinfo=UTC), **million)).cost == pytest.approx(10.0)
    assert priced(call(model="o3", **million)).cost == pytest.approx(2.0)
    assert priced(call(input_tokens=10_000, cache_read_input_tokens=8_000)).cost == pytest.approx(0.016)
    half = priced(call(model="gpt-5", service_tier="batch")).cost
    assert half == pytest.approx((priced(call(model="gpt-5")).cost or 0) / 2)


def test_every_price_holds_for_a_quarter_of_an_hour() -> None:
    """A resolved price is kept for 15 minutes: no price of the catalogue may change within one."""
    constraints = [
        price.constraint
        for provider in get_snapshot().providers
        for model in provider.models
        if isinstance(model.prices, list)
        for price in model.prices
    ]
    daily = [constraint for constraint in constraints if isinstance(constraint, TimeOfDateConstraint)]
    assert daily
    for constraint in daily:
        for time in (constraint.start_time, constraint.end_time):
            assert (time.minute % 15, time.second, time.microsecond) == (0, 0, 0)


@pytest.mark.parametrize(("provider", "model"), [("x_ai", "grok-4"), ("azure.ai.inference", "gpt-4o")])
def test_providers_the_catalogue_calls_otherwise(provider: str, model: str) -> None:
    """OpenTelemetry's provider names that genai-prices does not know are translated."""
    assert priced(call(provider=provider, model=model)).cost


def test_gateway_with_the_provider_in_the_models_name() -> None:
    """LiteLLM writes `anthropic/claude-...`: the prefix is the provider."""
    direct = priced(call(provider="anthropic", model="claude-sonnet-4-5")).cost
    assert priced(call(provider="litellm", model="anthropic/claude-sonnet-4-5")).cost == direct
    assert priced(call(provider="litellm", model="claude-sonnet-4-5")).cost == direct


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"provider": "ollama"}, "unknown provider"),
        ({"provider": "ibm.watsonx.ai"}, "unknown provider"),
        ({"model": "my-own-finetune"}, "unknown model"),
        ({"provider": None, "model": "my-own-finetune"}, "unknown model"),
        ({"model": None}, "no model"),
        ({"input_tokens": None, "output_tokens": None}, "no usage"),
        ({"output_tokens": None}, "incomplete usage"),
        ({"input_tokens": None}, "incomplete usage"),
        ({"cache_read_input_tokens": 1001}, "inconsistent usage"),
        ({"cache_read_input_tokens": 600, "cache_write_input_tokens": 600}, "inconsistent usage"),
        ({"reasoning_output_tokens": 101}, "inconsistent usage"),
        ({"input_tokens": -1}, "inconsistent usage"),
        ({"model": "whisper-1"}, "no token price"),
        ({"timestamp": 2**62}, "prices failed: OverflowError"),
    ],
)
def test_unknown_is_null_with_the_reason(fields: dict[str, Any], reason: str) -> None:
    """What cannot be priced has no cost, never 0, and says why."""
    timestamp = fields.pop("timestamp", None)
    operation = call(**fields)
    operation.timestamp = operation.timestamp if timestamp is None else timestamp
    priced(operation)
    assert (operation.cost, operation.cost_source) == (None, None)
    assert operation.extras == {COST_UNKNOWN: reason}


def test_free_is_zero() -> None:
    """A model that the catalogue knows to be free costs 0: that is known."""
    operation = priced(call(provider="openrouter", model="deepseek/deepseek-chat:free"))
    assert (operation.cost, operation.cost_source) == (0.0, "catalog")


def test_a_reported_cost_wins() -> None:
    """What the telemetry carried stays, over the catalogue and the user's own prices."""
    operation = priced(call(cost=0.5, cost_source="reported"))
    assert (operation.cost, operation.cost_source, operation.extras) == (0.5, "reported", {})


@pytest.mark.parametrize("operation_type", ["invoke_agent", "execute_tool"])
def test_aggregates_are_not_touched(operation_type: str) -> None:
    """An agent's or tool's span has no cost and no reason: its calls have them."""
    operation = priced(call(operation_type=operation_type))
    assert (operation.cost, operation.cost_source, operation.extras) == (None, None, {})


@pytest.mark.parametrize("fields", [{"status": "error"}, {"status": "pending"}, {"source": "event"}])
def test_no_reason_where_usage_is_not_expected(fields: dict[str, Any]) -> None:
    """Failed calls, unfinished calls and content events without usage are not noted as unpriced."""
    operation = priced(call(input_tokens=None, output_tokens=None, **fields))
    assert (operation.cost, operation.extras) == (None, {})


def test_failed_calls_with_usage_cost() -> None:
    """A provider bills what it generated before the failure."""
    assert priced(call(status="error")).cost


def test_a_reason_goes_when_the_cost_comes() -> None:
    """Pricing the same operation again with more known leaves no stale reason."""
    operation = priced(call(input_tokens=None))
    operation.input_tokens = 5
    assert priced(operation).cost
    assert operation.extras == {}


OWN = """
[[prices]]
provider = "ollama"
model = "*"
input = 0
output = 0

[[prices]]
model = "gpt-4o"
to = 2026-06-30
input = 1
output = 2

[[prices]]
provider = "OpenAI"
model = "GPT-4o*"
from = 2026-07-01
input = 3
output = 6.5
cache_read = 0.5
cache_write = 4

[[prices]]
model = "gpt-5"
service_tier = "batch"
input = 9
"""


@pytest.fixture
def own(tmp_path: Path) -> str:
    path = tmp_path / "prices.toml"
    path.write_text(OWN)
    return str(path)


@pytest.mark.parametrize(
    ("fields", "cost"),
    [
        ({"provider": "ollama", "model": "qwen3:4b"}, 0.0),
        ({"when": datetime(2026, 6, 30, 23, 59, 59, tzinfo=UTC)}, 0.0012),
        ({"when": datetime(2026, 7, 1, tzinfo=UTC)}, 0.00365),
        ({"model": "gpt-4o-mini"}, 0.00365),
        ({"cache_read_input_tokens": 600, "cache_write_input_tokens": 300}, 0.0003 + 0.0012 + 0.0003 + 0.00065),
        ({"model": "gpt-5", "service_tier": "batch"}, 0.009),
        ({"provider": None, "model": "gpt-4o", "when": datetime(2025, 1, 1, tzinfo=UTC)}, 0.0012),
    ],
)
def test_own_prices_win_over_the_catalogue(own: str, fields: dict[str, Any], cost: float) -> None:
    """The first entry that fits provider, model, tier and day gives the price."""
    operation = priced(call(**fields), own)
    assert operation.cost == pytest.approx(cost, rel=1e-12)
    assert operation.cost_source == "override"


@pytest.mark.parametrize(
    "fields", [{"model": "gpt-5"}, {"provider": "azure.ai.openai"}, {"model": "o3"}, {"provider": None}]
)
def test_the_catalogue_answers_where_no_entry_applies(own: str, fields: dict[str, Any]) -> None:
    """Own prices replace single prices, not the catalogue."""
    assert priced(call(**fields), own).cost_source == "catalog"


def test_json_and_toml_say_the_same(tmp_path: Path) -> None:
    """Both forms of the file hold the same keys."""
    path = tmp_path / "prices.json"
    path.write_text('{"prices": [{"model": "gpt-4o", "from": "2026-01-01", "input": 1, "output": 2.0}]}')
    assert priced(call(), str(path)).cost == pytest.approx(0.0012)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('{"model": "m"}', "entry 2: 'input' is missing"),
        ('{"input": 1}', "entry 2: 'model' is missing"),
        ('{"model": "m", "input": 1, "inptu": 2}', "entry 2: unknown key 'inptu'; allowed are provider, model,"),
        ('{"model": "m", "input": "1"}', "entry 2: 'input' must be US dollars per million tokens, from 0 to 1000000"),
        ('{"model": "m", "input": -1}', "not -1"),
        ('{"model": "m", "input": NaN}', "not nan"),
        ('{"model": "m", "input": true}', "not True"),
        ('{"model": "m", "input": 1, "from": "2026-02-30"}', "'from' must be a day like 2026-01-31"),
        ('{"model": "m", "input": 1, "from": 7}', "not 7"),
        ('{"model": "m", "input": 1, "from": "2026-02-01", "to": "2026-01-01"}', "is after 'to'"),
        ('{"model": "", "input": 1}', "'model' must be a text that is not empty"),
        ('"gpt-4o"', "entry 2: expected a table"),
    ],
)
def test_a_wrong_entry_says_which_and_what_is_allowed(tmp_path: Path, entry: str, message: str) -> None:
    """File, number of the entry, what was given and what is allowed stand in the error."""
    path = tmp_path / "prices.json"
    path.write_text(f'{{"prices": [{{"model": "fine", "input": 1}}, {entry}]}}')
    with pytest.raises(SettingsError) as raised:
        Prices(str(path))
    assert f"price file {path}" in str(raised.value)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("prices.yaml", "", "must end in .json or .toml"),
        ("prices.json", "{", "not valid JSON"),
        ("prices.json", "[" * 100_000, "not valid JSON"),
        ("prices.toml", "=", "not valid TOML"),
        ("prices.json", "[]", "expected one list named 'prices'"),
        ("prices.json", '{"prices": [], "price": []}', "expected one list named 'prices'"),
        ("prices.json", None, "cannot be read: No such file"),
    ],
)
def test_a_wrong_file_says_so(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    """What is no price file is refused at once, by name."""
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingsError) as raised:
        Prices(str(path))
    assert str(path) in str(raised.value)
    assert message in str(raised.value)


def test_the_documented_file_is_valid(tmp_path: Path) -> None:
    """The examples in docs/prices.md are read as they stand."""
    text = (Path(__file__).parent.parent / "docs" / "prices.md").read_text()
    for form in ("toml", "json"):
        path = tmp_path / f"prices.{form}"
        path.write_text(text.split(f"```{form}\n")[1].split("```")[0])
        assert priced(call(provider="ollama", model="qwen3:4b"), str(path)).cost_source == "override"


def test_without_the_extra_the_reason_says_so() -> None:
    """Where genai-prices is not installed calls are unpriced, own prices still hold, and nothing fails."""
    program = """
import sys
sys.modules["genai_prices"] = None
from otel_llm_sql.pricing import Prices
from otel_llm_sql.records import Operation
operation = Operation("span", "0" * 32, "0" * 16, None, None, None, 0, operation_type="chat", provider="openai",
                      model="gpt-4o", input_tokens=1, output_tokens=1)
Prices(None).price(operation)
print(operation.cost, operation.extras)
"""
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert ran.stdout == "None {'cost_unknown': 'prices extra not installed'}\n"


def test_the_catalogue_loads_with_the_first_price() -> None:
    """Making a Prices costs nothing: the catalogue takes 0.2 s to import."""
    program = "import sys; from otel_llm_sql.pricing import Prices; Prices(None); print('genai_prices' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert ran.stdout == "False\n"


def test_a_price_is_resolved_once() -> None:
    """The catalogue is asked once per provider, model, tier and quarter of an hour, and the memory is bounded."""
    prices = Prices(None)
    for number in range(5000):
        prices.price(call(model="gpt-4o" if number % 2 else f"invented-{number}"))
    resolved = prices._rate.cache_info()
    assert (resolved.hits, resolved.misses) == (2499, 2501)
    assert resolved.maxsize is not None


anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers(), max_size=2)
tokens = st.none() | st.integers(-10, 10**6) | st.integers() | anything
names = (
    st.sampled_from(["openai", "anthropic", "litellm", "gpt-4o", "gpt-5", "a/b", "claude-sonnet-4-5", ""]) | anything
)
PRICES = Prices(None)


@given(
    st.fixed_dictionaries(
        {
            "provider": names,
            "model": names,
            "service_tier": st.sampled_from([None, "batch", "flex"]) | anything,
            "operation_type": st.sampled_from(["chat", "embeddings", "execute_tool", ""]),
            "input_tokens": tokens,
            "output_tokens": tokens,
            "cache_read_input_tokens": tokens,
            "cache_write_input_tokens": tokens,
            "reasoning_output_tokens": tokens,
        }
    ),
    st.integers() | anything,
)
def test_never_raises(fields: dict[str, Any], timestamp: Any) -> None:
    """Whatever an operation holds, pricing gives a finite cost with its source, or none."""
    operation = call(**fields)
    operation.timestamp = timestamp
    PRICES.price(operation)
    assert (operation.cost is None) == (operation.cost_source is None)
    assert operation.cost is None or 0 <= operation.cost < float("inf")
