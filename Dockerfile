# Built in two stages: the first has pip, the second only what runs.
FROM python:3.13-slim-trixie AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python3 -m venv /opt/monitor
COPY requirements.txt /src/
RUN /opt/monitor/bin/pip install --no-deps --require-hashes -r /src/requirements.txt
COPY requirements-build.txt /src/
RUN python3 -m venv /opt/build && /opt/build/bin/pip install --no-deps --require-hashes -r /src/requirements-build.txt
COPY pyproject.toml README.md /src/
COPY monitor /src/monitor
COPY config /src/config
COPY storage /src/storage
RUN cd /src && /opt/build/bin/python -m hatchling build -t wheel -d /src/dist \
 && /opt/monitor/bin/pip install --no-deps /src/dist/*.whl \
 && /opt/monitor/bin/python -m compileall -q /opt/monitor/lib \
 && /opt/monitor/bin/pip uninstall -q -y pip

FROM python:3.13-slim-trixie
LABEL org.opencontainers.image.title="Medical News Monitor" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /opt/monitor /opt/monitor
RUN install -d -o 10001 -g 10001 -m 0750 /data
ENV PATH=/opt/monitor/bin:$PATH PYTHONUNBUFFERED=1 MONITOR_DATA_DIR=/data MONITOR_WEB__HOST=0.0.0.0
USER 10001:10001
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["monitor", "healthcheck"]
ENTRYPOINT ["monitor"]
CMD ["run"]
