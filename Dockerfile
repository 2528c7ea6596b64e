# Built in two stages: the first has pip and builds, the second holds only what runs.
FROM python:3.13-slim-trixie AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python3 -m venv /opt/monitor
COPY requirements.txt /src/
RUN /opt/monitor/bin/pip install --require-hashes -r /src/requirements.txt
COPY requirements-build.txt /src/
RUN python3 -m venv /opt/build && /opt/build/bin/pip install --require-hashes -r /src/requirements-build.txt
COPY pyproject.toml README.md /src/
COPY monitor /src/monitor
COPY config /src/config
COPY storage /src/storage
RUN cd /src && /opt/build/bin/python -m hatchling build -t wheel -d /src/dist \
 && /opt/monitor/bin/pip install --no-deps /src/dist/*.whl \
 && /opt/monitor/bin/python -m compileall -q /opt/monitor/lib \
 && /opt/monitor/bin/pip uninstall -q -y pip

FROM python:3.13-slim-trixie
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="Medical News Monitor" \
      org.opencontainers.image.description="Watches medical news and papers for research groups and mails each researcher a digest" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="docker.io/library/python:3.13-slim-trixie"
# What runs needs no pip, and nobody who breaks in should find one.
RUN rm -rf /usr/local/lib/python3.13/site-packages/pip* /usr/local/bin/pip* /usr/lib/python3*/dist-packages/pip* /usr/bin/pip* \
 && install -d -o 10001 -g 10001 -m 0750 /data
COPY --from=build /opt/monitor /opt/monitor
ENV PATH=/opt/monitor/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    MONITOR_DATA_DIR=/data MONITOR_WEB__HOST=0.0.0.0
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
# As `monitor healthcheck`, without loading the program every ten seconds.
HEALTHCHECK --interval=10s --timeout=5s --start-period=90s --retries=3 CMD ["python", "-c", \
 "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ.get('MONITOR_WEB__PORT', '8000') + '/healthz', timeout=4)"]
ENTRYPOINT ["monitor"]
CMD ["run"]
