"""A certificate for 127.0.0.1, made here and now by the openssl command."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest


def make_certificate(where: Path) -> tuple[Path, Path]:
    """The certificate's and its key's file. Skips the test where there is no openssl command."""
    key, cert = where / "key.pem", where / "cert.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    subject = ["-subj", "/CN=relay.test", "-addext", "subjectAltName=IP:127.0.0.1"]
    try:
        subprocess.run([*command, *subject, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("the openssl command is not installed")
    return cert, key
