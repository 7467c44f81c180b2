# Debian 13 and its glibc, as tested (docs/how-to/run-in-a-container.md). Both stages: the environment of the first must fit the second.
# `make pin-base` adds the digest of the image that you build on.
ARG PYTHON=3.13-slim-trixie
# As Debian 13 has it; another one stops the build.
ARG LIBSECCOMP2=2.6.0-2

# The wheels, by their hashes, into an environment of their own. Nothing is compiled.
FROM python:${PYTHON} AS wheels
# `postgres.txt` adds the driver of PostgreSQL, as compose.postgres.yaml asks.
ARG REQUIREMENTS=run.txt
COPY requirements/run.txt requirements/postgres.txt requirements/sbom.txt requirements/remove_unused.py /requirements/
# Then the files that nothing loads are removed, and the list of packages and the texts of their licences are made.
RUN python -m venv /opt/mien \
    && /opt/mien/bin/python -m pip install --quiet --no-cache-dir --disable-pip-version-check \
        --require-hashes --no-deps --only-binary :all: --requirement /requirements/${REQUIREMENTS} \
    && /opt/mien/bin/python /requirements/remove_unused.py \
    && python -m venv /opt/tools \
    && /opt/tools/bin/python -m pip install --quiet --no-cache-dir --disable-pip-version-check \
        --require-hashes --no-deps --only-binary :all: --requirement /requirements/sbom.txt \
    && /opt/mien/bin/python -m pip uninstall --quiet --yes pip \
    && /opt/tools/bin/python -m cyclonedx_py environment --output-reproducible --of JSON \
        --output-file /opt/mien/sbom.json /opt/mien/bin/python \
    && /opt/tools/bin/python -m piplicenses --python /opt/mien/bin/python --format plain-vertical \
        --with-license-file --no-license-path --output-file /opt/mien/licences.txt

FROM python:${PYTHON}
ARG LIBSECCOMP2
# With libseccomp2 the workers that read images lock themselves in.
RUN apt-get update -qq \
    && apt-get install -qq --yes --no-install-recommends libseccomp2=${LIBSECCOMP2} \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin mien \
    && install --directory --owner mien --group mien --mode 0700 /var/lib/mien /var/lib/mien/data /var/lib/mien/keys
COPY --from=wheels /opt/mien /opt/mien
WORKDIR /srv/mien
# Root's, so that the service cannot change itself, not even where the root file system may be written.
COPY LICENSE NOTICE ./
COPY app app
COPY docs docs
COPY migrations migrations
COPY notices notices

ENV PATH=/opt/mien/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MIEN_DATA_DIR=/var/lib/mien/data \
    MIEN_KEYS_DIR=/var/lib/mien/keys
# Nothing can be written later: without this every worker would compile the program anew.
RUN python -m compileall -q app migrations
USER 10001:10001
# Two volumes, because they are backed up apart: data may go back in time, the register of keys never does.
VOLUME ["/var/lib/mien/data", "/var/lib/mien/keys"]
EXPOSE 8000
# Healthy is not ready: `live` answers rights, and lists at /readyz the requirements that it lacks, from the start.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/livez', timeout=4)"]
CMD ["python", "-m", "app", "serve", "--host", "0.0.0.0", "--port", "8000"]
