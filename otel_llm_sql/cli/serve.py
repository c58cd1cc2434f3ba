"""Receive telemetry from any OTLP exporter or Collector, over HTTP and gRPC. Success is answered after the commit.

Everything can also be set by OTEL_LLM_SQL_RECEIVER_HTTP, _GRPC, _WORKERS and so on.
"""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

from otel_llm_sql.errors import ReceiverError
from otel_llm_sql.masking import mask
from otel_llm_sql.settings import Settings, load

if TYPE_CHECKING:
    from otel_llm_sql.receiver.ports import Ports
    from otel_llm_sql.receiver.settings import Address, ReceiverSettings

SUMMARY = "receive telemetry from OTLP exporters and Collectors"

HEARS_SIGNALS = True

_ANYWHERE = ("0.0.0.0", "::")  # noqa: S104 - to recognise it

_OPTIONS = {
    "http": ("HOST:PORT", "address of OTLP/HTTP, or off (default: 127.0.0.1:4318)"),
    "grpc": ("HOST:PORT", "address of OTLP/gRPC, or off (default: 127.0.0.1:4317)"),
    "workers": ("N", "processes that serve (default: 1)"),
    "token_file": ("FILE", "only who shows one of these bearer tokens, one a line, may send"),
    "tls_cert": ("FILE", "certificate chain (PEM): speak TLS"),
    "tls_key": ("FILE", "its private key (PEM)"),
    "tls_client_ca": ("FILE", "authorities (PEM): only clients with a certificate of theirs may send"),
    "queue_bytes": ("N", "how much may wait for the database (default: 128 MiB)"),
    "body_bytes": ("N", "the largest request (default: 64 MiB)"),
    "inflated_bytes": ("N", "the largest request after decompression (default: 64 MiB)"),
    "grace": ("SECONDS", "how long requests under way may take when it is shut down (default: 10)"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's own arguments."""
    for name, (value, text) in _OPTIONS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", metavar=value, help=text)
    parser.add_argument(
        "--cors-origin",
        dest="cors_origins",
        action="append",
        metavar="ORIGIN",
        help="pages of this origin may send; * in it stands for anything; may be repeated",
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal says stop."""
    _require_packages()
    from otel_llm_sql.receiver.ports import CAN_SHARE, take_ports
    from otel_llm_sql.receiver.server import require_certificates
    from otel_llm_sql.receiver.server import run as serve
    from otel_llm_sql.receiver.settings import load_receiver
    from otel_llm_sql.receiver.workers import LOG_FORMAT, supervise

    logging.basicConfig(format=LOG_FORMAT)
    given = {name: getattr(arguments, name) for name in (*_OPTIONS, "cors_origins")}
    settings = _with_grpc_if_installed(load_receiver(**given), arguments)
    # What is not stored is still with its sender: it is not kept anywhere else.
    database = replace(load(url=arguments.db_uri, schema=arguments.schema), spool="off")
    require_certificates(settings)
    if settings.workers > 1 and not CAN_SHARE:
        raise ReceiverError("workers: processes cannot share a port on this system; leave it at 1")
    ports = take_ports(settings)
    start = supervise if settings.workers > 1 else serve
    start(database, settings, ports, lambda: _announce(database, settings, ports))
    return 0


def _require_packages() -> None:
    missing = [name for name in ("starlette", "uvicorn", "prometheus_client", "google.rpc") if not _is_installed(name)]
    if missing:
        raise ReceiverError(f"serving needs {', '.join(missing)}: pip install 'otel-llm-sql[receiver,grpc]'")


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _with_grpc_if_installed(settings: ReceiverSettings, arguments: argparse.Namespace) -> ReceiverSettings:
    from otel_llm_sql.receiver.settings import PREFIX

    if settings.grpc is None or _is_installed("grpc"):
        return settings
    advice = "OTLP/gRPC needs grpcio: pip install 'otel-llm-sql[grpc]'"
    if arguments.grpc or os.environ.get(f"{PREFIX}GRPC") or settings.http is None:
        raise ReceiverError(advice)
    print(f"otel-llm-sql: {advice}; serving OTLP/HTTP alone", file=sys.stderr)
    return replace(settings, grpc=None)


def _announce(database: Settings, settings: ReceiverSettings, ports: Ports) -> None:
    scheme = "https" if settings.tls_cert else "http"
    doors = [f"OTLP/HTTP on {scheme}://{ports.http}"] if ports.http else []
    doors += [f"OTLP/gRPC on {ports.grpc}"] if ports.grpc else []
    send = f"OTEL_EXPORTER_OTLP_ENDPOINT={scheme}://{_reachable(ports.http or ports.grpc)}"
    protocol = "http/protobuf" if ports.http else "grpc"
    print(
        f"{' and '.join(doors)}, stored in {mask(database.url)}; "
        f"send with {send} OTEL_EXPORTER_OTLP_PROTOCOL={protocol}",
        flush=True,
    )


def _reachable(address: Address | None) -> Address | None:
    if address is None or address.host not in _ANYWHERE:
        return address
    return replace(address, host=socket.gethostname())
