# otel-llm-sql as a receiver: OTLP/HTTP on 4318, OTLP/gRPC on 4317; what it is told stands in the environment.
#
#   docker build -t otel-llm-sql .
#   docker run -p 127.0.0.1:4318:4318 -e OTEL_EXPORTER_LLM_SQL_URL=postgresql://... otel-llm-sql
#
# The other commands are there, too: docker run ... otel-llm-sql status
FROM python:3.13-slim AS installed
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY otel_llm_sql ./otel_llm_sql
RUN python -m venv /opt/otel-llm-sql
RUN /opt/otel-llm-sql/bin/python -m pip install --no-cache-dir --disable-pip-version-check ".[receiver,grpc,prices,cli]"

# An application that calls a stand-in for a model, for docker-compose.yml.
FROM installed AS example
RUN /opt/otel-llm-sql/bin/python -m pip install --no-cache-dir --disable-pip-version-check ".[demo]" opentelemetry-exporter-otlp-proto-http
COPY examples ./examples
ENV PATH=/opt/otel-llm-sql/bin:$PATH
USER 10001:10001
CMD ["opentelemetry-instrument", "python", "examples/travel_desk.py"]

FROM python:3.13-slim
COPY --from=installed /opt/otel-llm-sql /opt/otel-llm-sql
ENV PATH=/opt/otel-llm-sql/bin:$PATH
USER 10001:10001
EXPOSE 4317 4318
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --start-interval=1s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:4318/healthz', timeout=4)"]
ENTRYPOINT ["otel-llm-sql"]
CMD ["serve", "--http", "0.0.0.0:4318", "--grpc", "0.0.0.0:4317"]
