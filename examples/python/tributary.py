"""A client of Tributary with the standard library alone, meant to be copied.

Assertions are signed by the program openssl, because the standard library signs nothing.
"""

import base64
import json
import secrets
import subprocess
import time
import urllib.error
import urllib.request


class Problem(Exception):
    """An answer that is no success (RFC 9457). status 401 and 403 mean that the key does not count, or may not ask for
    that reader."""

    def __init__(self, status, body):
        self.status = status
        self.code = body.get("code", "unknown")
        self.detail = body.get("detail", "")
        self.field = body.get("field")
        self.request_id = body.get("request_id")
        super().__init__(f"{status} {self.code}: {self.detail} (request {self.request_id})")


class Signer:
    """Names a reader by assertions, for a key of mode assertion.

    reader is the id of a reader; with issuer, the subject of one of its identities. key_file holds the private key of an
    RSA key pair, key_id is the kid under which the public key is registered.
    """

    def __init__(self, reader, key_file, key_id, issuer=None):
        self.reader, self.key_file, self.key_id, self.issuer = reader, key_file, key_id, issuer

    def assertion(self, audience):
        """Returns a JWT for one request within a minute."""
        now = int(time.time())
        claims = {"sub": self.reader, "aud": audience, "jti": secrets.token_urlsafe(16), "iat": now, "exp": now + 60}
        if self.issuer:
            claims["iss"] = self.issuer
        head = {"alg": "RS256", "typ": "JWT", "kid": self.key_id}
        signed = ".".join(_encode(json.dumps(part).encode()) for part in (head, claims))
        signature = subprocess.run(
            ["openssl", "dgst", "-sha256", "-sign", self.key_file, "-binary"], input=signed.encode(), stdout=subprocess.PIPE, check=True
        ).stdout
        return signed + "." + _encode(signature)


def _encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Client:
    """Asks the instance at url with an API key; signer names the reader with each request."""

    def __init__(self, url, key, signer=None, tries=5, waiting=None):
        self.url, self.key, self.signer, self.tries, self.waiting = url, key, signer, tries, waiting

    def search(self, query, **fields):
        """Asks a question; docs/search.md has the other fields. While the server asks to wait (429, 503) it is sent again."""
        body = json.dumps({"query": query, **fields}).encode()
        attempt = 1
        while True:
            try:
                with urllib.request.urlopen(self._request(body), timeout=30) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                problem = _problem(error)
                if error.code not in (429, 503) or attempt >= self.tries:
                    raise problem from None
                wait = _seconds(error.headers.get("Retry-After"))
            if self.waiting:
                self.waiting(problem, wait)
            time.sleep(wait)
            attempt += 1

    def _request(self, body):
        headers = {"Authorization": "Bearer " + self.key, "Content-Type": "application/json"}
        if self.signer:
            # An assertion counts once, so that each try signs another.
            headers["Tributary-Reader"] = self.signer.assertion(self.url)
        return urllib.request.Request(self.url + "/v1/search", data=body, headers=headers)


def _problem(error):
    """Reads an answer that is no success; a proxy in between may have sent something else."""
    try:
        body = json.load(error)
    except ValueError:
        body = {}
    return Problem(error.code, body if isinstance(body, dict) else {})


def _seconds(text):
    return max(1, int(text)) if text and text.isdigit() else 5
