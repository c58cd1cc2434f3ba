"""An operation without cost becomes the same operation with cost, or an honest unknown. It never fails an export.

A cost that the telemetry reported wins; then the user's own price file (`docs/prices.md`); then the catalogue of
genai-prices, which is loaded when the first call is priced. What a price depends on is resolved once and kept: after
that a call costs about a microsecond. A cost that is not known is None with the reason in `extras`, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from otel_llm_sql.price_file import PriceEntry, read_price_file

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider

    from otel_llm_sql.records import Operation

COST_UNKNOWN = "cost_unknown"
"""Key in `extras`: why a call that may have cost something has no cost."""

_WITHOUT_OUTPUT = frozenset({"embeddings", "rerank"})
"""Operation types whose calls report no output tokens because there are none."""

_CATALOG_PROVIDERS = {"x_ai": "x-ai", "azure.ai.inference": "azure", "gcp.gen_ai": "google"}
"""Values of `gen_ai.provider.name` that the catalogue does not recognise by itself -> its id."""

_QUARTER = timedelta(minutes=15)
"""How long a resolved price holds. Not a day: DeepSeek's off-peak prices start at 16:30 UTC."""
_QUARTER_US = _QUARTER // timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RESOLVED = 4096
"""Resolved prices kept: model names come from outside, so there may be any number of them."""

_MILLION = 1_000_000
_THOUSAND = 1000


@dataclass(frozen=True, slots=True)
class TokenPrices:
    """US dollars per million tokens of each kind; None where that kind has no price of its own."""

    input: float | None
    output: float | None = None
    cache_read: float | None = None
    cache_write: float | None = None
    reasoning: float | None = None

    def cost(self, operation: Operation) -> float | str:
        """US dollars for the tokens of one call, or why they cannot be known."""
        if self.input is None:
            return "no token price"
        input_tokens, output_tokens = operation.input_tokens, operation.output_tokens
        if output_tokens is None and (self.output is None or operation.operation_type in _WITHOUT_OUTPUT):
            output_tokens = 0
        if input_tokens is None or output_tokens is None:
            return "incomplete usage"
        read, write = operation.cache_read_input_tokens or 0, operation.cache_write_input_tokens or 0
        reasoning = operation.reasoning_output_tokens or 0
        fresh, answer = input_tokens - read - write, output_tokens - reasoning
        if fresh < 0 or answer < 0 or read < 0 or write < 0 or reasoning < 0:
            return "inconsistent usage"
        output = self.output or 0.0
        return (
            fresh * self.input
            + read * (self.input if self.cache_read is None else self.cache_read)
            + write * (self.input if self.cache_write is None else self.cache_write)
            + answer * output
            + reasoning * (output if self.reasoning is None else self.reasoning)
        ) / _MILLION


@dataclass(frozen=True, slots=True)
class Rate:
    """What one model costs in one quarter of an hour on one service tier.

    Attributes:
        source: the `cost_source` it gives.
        steps: (input tokens above which it holds, prices), the highest first, the last for every call. The whole
            request is charged at the step it reaches, as providers do above 200,000 tokens.
        per_request: US dollars for the request itself.
    """

    source: str
    steps: tuple[tuple[int, TokenPrices], ...]
    per_request: float = 0.0

    def cost(self, operation: Operation) -> float | str:
        """US dollars for one call, or why they cannot be known."""
        size = operation.input_tokens or 0
        prices = self.steps[-1][1]
        if len(self.steps) > 1:
            prices = next((prices for above, prices in self.steps if size > above), prices)
        cost = prices.cost(operation)
        if isinstance(cost, str):
            return cost
        cost += self.per_request
        return cost if 0 <= cost < math.inf else "inconsistent usage"


class Prices:
    """Puts a cost on operations. Safe under threads."""

    def __init__(self, overrides_file: str | None) -> None:
        """Read the user's own prices; the catalogue is not loaded yet.

        Args:
            overrides_file: path of a JSON or TOML file as `docs/prices.md` describes it, None for the catalogue alone.

        Raises:
            SettingsError: the file cannot be read or an entry is wrong; it names file, entry and what is allowed.
        """
        self._overrides = read_price_file(overrides_file) if overrides_file else ()
        self._rate = lru_cache(maxsize=_RESOLVED)(self._resolve)

    def price(self, operation: Operation) -> None:
        """Set `cost` and `cost_source` in place, or the reason in `extras` why the cost is not known.

        Only calls to a provider are priced; a cost that is already there stays. A call that failed, or has not ended,
        gets no reason for having no usage: that it reported none is what one expects. Neither does a content event:
        the span it belongs to says why.
        """
        if operation.cost is not None or not operation.is_call:
            return
        try:
            source, cost = self._cost(operation)
        except (TypeError, OverflowError):  # values that no vocabulary should let through: still not our caller's fault
            source, cost = None, "inconsistent usage"
        if not isinstance(cost, str):
            operation.cost, operation.cost_source = cost, source
            operation.extras.pop(COST_UNKNOWN, None)
        elif operation.source == "span" and (operation.status == "ok" or _has_usage(operation)):
            operation.extras[COST_UNKNOWN] = cost

    def _cost(self, operation: Operation) -> tuple[str | None, float | str]:
        if not _has_usage(operation):
            return None, "no usage"
        if not operation.model:
            return None, "no model"
        quarter = operation.timestamp // _QUARTER_US
        rate = self._rate(operation.provider, operation.model, operation.service_tier, quarter)
        return (None, rate) if isinstance(rate, str) else (rate.source, rate.cost(operation))

    def _resolve(self, provider: str | None, model: str, tier: str | None, quarter: int) -> Rate | str:
        try:
            when = _EPOCH + quarter * _QUARTER
            for entry in self._overrides:
                if entry.applies(provider, model, tier, when.date()):
                    return _override_rate(entry)
            return _catalog_rate(provider, model, tier, when)
        except Exception as error:  # noqa: BLE001 - whatever another version of the catalogue raises, exports go on
            return f"prices failed: {type(error).__name__}"


def _has_usage(operation: Operation) -> bool:
    return operation.input_tokens is not None or operation.output_tokens is not None


def _override_rate(entry: PriceEntry) -> Rate:
    return Rate("override", ((-1, TokenPrices(entry.input, entry.output, entry.cache_read, entry.cache_write)),))


def _catalog_rate(provider_id: str | None, model_ref: str, tier: str | None, when: datetime) -> Rate | str:
    try:
        from genai_prices.data_snapshot import get_snapshot  # optional, and takes 0.2 s to load
    except ModuleNotFoundError:
        return "prices extra not installed"
    providers = get_snapshot().providers
    provider, model_ref = _catalog_provider(providers, provider_id, model_ref)
    if provider is None:
        return "unknown provider" if provider_id else "unknown model"
    # Not DataSnapshot.calc: it keeps every model name it is ever asked for, and these come from outside.
    model = provider.find_model(model_ref, all_providers=providers)
    if model is None:
        return "unknown model"
    # Variants belong to the provider that lists the model, not to one that resells it: the library's own rule.
    own = any(model is listed for listed in provider.models)
    return _rate(model, model.get_prices(when, _context(tier) if own else None))


def _catalog_provider(
    providers: list[Provider], provider_id: str | None, model_ref: str
) -> tuple[Provider | None, str]:
    """The catalogue's provider, and the model's name there. Without a provider the model's name may tell it."""
    if provider_id and provider_id.lower() == "litellm":  # a gateway: the provider stands before the model's name
        prefix, _, name = model_ref.partition("/")
        named = _provider_by_id(providers, prefix) if name else None
        if named is not None:
            return named, name
        provider_id = None
    if provider_id:
        return _provider_by_id(providers, _CATALOG_PROVIDERS.get(provider_id, provider_id)), model_ref
    lowered = model_ref.lower()
    telling = (provider for provider in providers if provider.model_match and provider.model_match.is_match(lowered))
    return next(telling, None), model_ref


def _provider_by_id(providers: list[Provider], provider_id: str) -> Provider | None:
    from genai_prices.data_snapshot import find_provider_by_id

    return find_provider_by_id(providers, provider_id)


def _context(tier: str | None) -> dict[str, str] | None:
    """The catalogue's name for a service tier: it silently prices `service_tier: batch` as the normal one."""
    if not tier:
        return None
    return {"processing": "batch"} if tier == "batch" else {"service_tier": tier}


def _rate(model: ModelInfo, prices: ModelPrice) -> Rate | str:
    kinds = [getattr(prices, f"{kind}_mtok", None) for kind in _KINDS]
    if kinds[0] is None:
        # A model by the second, page or character; without any price only the `:free` ones are known to be free.
        free = model.id.endswith(":free")
        return Rate("catalog", ((-1, TokenPrices(0.0)),)) if free else "no token price"
    starts = sorted({-1, *(tier.start for kind in kinds for tier in _tiers(kind))}, reverse=True)
    steps = tuple((start, TokenPrices(*(_at(kind, start) for kind in kinds))) for start in starts)
    per_thousand = getattr(prices, "requests_kcount", None)
    return Rate("catalog", steps, (_at(per_thousand, -1) or 0.0) / _THOUSAND)


_KINDS = ("input", "output", "cache_read", "cache_write", "output_reasoning")
"""Price keys of the catalogue without their `_mtok`, in the order of the fields of TokenPrices."""


def _tiers(price: Any) -> Iterable[Any]:
    return getattr(price, "tiers", ())


def _at(price: Any, above: int) -> float | None:
    """One of the catalogue's prices (a Decimal, or TieredPrices) for calls of more than `above` input tokens."""
    for tier in sorted(_tiers(price), key=lambda tier: -int(tier.start)):
        if above >= tier.start:
            return float(tier.price)
    base = getattr(price, "base", price)
    return None if base is None else float(base)
