# Two stages: the first builds and installs, the second carries the result and nothing that made it.
# 3.13 because all dependencies have wheels for it on x86-64 and on ARM alike; for 3.12 on ARM the recogniser has
# none, and the slim image has no compiler.
ARG PYTHON_VERSION=3.13

FROM python:${PYTHON_VERSION}-slim-bookworm AS builder
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# The environment has no pip of its own: it is 14 MB that the server never needs.
RUN python -m venv --without-pip /venv
# Dependencies come first, so that a change of the source alone does not fetch them again.
COPY pyproject.toml ./
RUN python -c 'import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
      extras = project["optional-dependencies"]; \
      print(*project["dependencies"], *extras["postgres"], *extras["redis"], *extras["otel"], sep="\n")' \
      > /tmp/requirements.txt \
    && pip --python /venv/bin/python install --only-binary=:all: --requirement /tmp/requirements.txt
COPY README.md LICENSE NOTICE ./
COPY server ./server
COPY media ./media
COPY pipeline ./pipeline
COPY telephony ./telephony
RUN pip wheel --no-deps --wheel-dir /dist . \
    && pip --python /venv/bin/python install --no-deps /dist/*.whl


FROM python:${PYTHON_VERSION}-slim-bookworm
# The embedded voice comes as a wheel. flite, a better one for English, is Debian's and optional.
ARG WITH_FLITE=0
# Debian keeps no old versions at hand: a pinned one would not be found after its first update.
# hadolint ignore=DL3008
RUN if [ "$WITH_FLITE" = 1 ]; then \
      apt-get update \
      && apt-get install --yes --no-install-recommends flite \
      && rm -rf /var/lib/apt/lists/*; \
    fi
# A number, not only a name: Kubernetes and bind mounts go by numbers. A new volume takes /data's owner over.
RUN groupadd --gid 10001 talkwire \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin talkwire \
    && install -d -o 10001 -g 10001 -m 0700 /data
COPY --from=builder /venv /venv
COPY examples /opt/talkwire/examples
COPY docker/healthcheck.py /opt/talkwire/docker/healthcheck.py
COPY --chmod=0755 docker/entrypoint.sh /opt/talkwire/docker/entrypoint.sh

# The official onnxruntime reports to its maker unless it is told not to.
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    TMPDIR=/tmp \
    ORT_DISABLE_TELEMETRY=1 \
    TALKWIRE_HOST=0.0.0.0 \
    TALKWIRE_DATA_DIR=/data
WORKDIR /opt/talkwire
USER 10001:10001
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-I", "/opt/talkwire/docker/healthcheck.py"]
# No init process: the entry point replaces itself with the server, which handles SIGTERM itself (live calls may
# finish), and its workers are the children of a fork server that reaps them.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/opt/talkwire/docker/entrypoint.sh"]
CMD ["serve"]

ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="Talkwire" \
      org.opencontainers.image.description="A self-hostable voice agent server" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0"
