# One image for every role of the collector and for the dashboard; the command says which.
FROM python:3.11-slim-bookworm AS build
WORKDIR /build
RUN python -m venv /opt/fusebox && /opt/fusebox/bin/pip install --no-cache-dir uv
COPY requirements.lock ./
RUN /opt/fusebox/bin/uv pip install --no-cache --python /opt/fusebox/bin/python --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY fusebox ./fusebox
COPY breakers ./breakers
COPY governance ./governance
COPY rabbitmq ./rabbitmq
COPY collector ./collector
COPY gateway ./gateway
COPY dashboards ./dashboards
COPY examples ./examples
COPY policies ./policies
RUN /opt/fusebox/bin/uv pip install --no-cache --python /opt/fusebox/bin/python --no-deps .

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin fusebox \
    && install -d -o fusebox -g fusebox -m 0700 /data
COPY --from=build /opt/fusebox /opt/fusebox
ENV PATH=/opt/fusebox/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    FUSEBOX_DATA_DIR=/data \
    FUSEBOX_AGENTS_FILE=/etc/fusebox/agents.toml
USER fusebox
WORKDIR /data
VOLUME /data
ENTRYPOINT ["fusebox"]
CMD ["--help"]
