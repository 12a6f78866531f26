# One image for the API, the worker and the migrations; what a container does is its command.
# Versions of everything that is installed come from uv.lock.

FROM python:3.13-slim AS build

RUN pip install --no-cache-dir uv==0.13.9

ENV UV_PROJECT_ENVIRONMENT=/opt/venv \
    UV_PYTHON_PREFERENCE=only-system \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_SYSTEM_CERTS=1 \
    UV_NO_CACHE=1 \
    UV_NO_PROGRESS=1
WORKDIR /src

# Dependencies first: this layer is made again only when the lock file changes.
COPY pyproject.toml uv.lock ./
RUN uv sync --frozen --no-dev --no-install-project

COPY README.md ./
COPY app ./app
COPY worker ./worker
RUN uv sync --frozen --no-dev --no-editable \
    && uv export --quiet --frozen --no-dev --format cyclonedx1.5 --preview-features sbom-export \
        --output-file /opt/venv/sbom.cdx.json


FROM python:3.13-slim

# The base image's pip, and programs that run as their owner, are of no use to a service that installs nothing and never
# changes who it is, and of some to whoever breaks into it.
RUN rm -rf "$(python -c 'import pip; print(pip.__path__[0])')"* \
        "$(python -c 'import ensurepip; print(ensurepip.__path__[0])')" \
        "$(dirname "$(command -v pip)")"/pip* \
    && find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
    && useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin novahouse

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONFAULTHANDLER=1
WORKDIR /app
COPY --from=build /opt/venv /opt/venv
COPY alembic.ini ./
COPY alembic ./alembic

# Last, so that a new revision changes no layer above.
ARG VERSION=3.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="NovaHouse Chatbot API" \
      org.opencontainers.image.description="Chat backend for lead generation: API, worker and migrations" \
      org.opencontainers.image.vendor="NovaHouse" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

USER 10001:10001
EXPOSE 8000

# For the API, which is what the image runs by default; docker-compose.yml says how the worker is checked.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "from http.client import HTTPConnection as C; c = C('127.0.0.1', 8000, timeout=2); c.request('GET', '/health/live'); raise SystemExit(c.getresponse().status != 200)"]

# Exec form: SIGTERM reaches uvicorn, which drains and exits with 0.
CMD ["uvicorn", "app.main:app", "--host", "0.0.0.0", "--port", "8000", "--no-access-log", "--no-server-header", "--no-proxy-headers"]
